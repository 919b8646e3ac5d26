//! Partition tables as `sfdisk` writes them, and as nobody should.

use std::io::Write;
use std::process::{Command, Stdio};

use drivers::block::BlockError;
use drivers::partition::{ReadSectors, Scheme, Table, read_table};
use executor::host;

/// A disk that is a file's content.
struct Image {
    bytes: Vec<u8>,
    logical_sector: usize,
}

impl ReadSectors for Image {
    fn sectors(&self) -> u64 {
        self.bytes.len() as u64 / 512
    }

    fn logical_sector(&self) -> usize {
        self.logical_sector
    }

    async fn read(&self, sector: u64, bytes: usize) -> Result<Vec<u8>, BlockError> {
        assert!(bytes > 0 && bytes.is_multiple_of(self.logical_sector), "{bytes} bytes");
        let at = sector as usize * 512;
        assert_eq!(at % self.logical_sector, 0);
        self.bytes.get(at..at + bytes).map(<[u8]>::to_vec).ok_or(BlockError::OutOfRange)
    }
}

/// A disk of this size, divided as the script says.
fn divided(name: &str, mebibytes: usize, script: &str) -> Vec<u8> {
    let path = std::env::temp_dir().join(format!("rusk-partition-{name}-{}", std::process::id()));
    std::fs::write(&path, vec![0; mebibytes << 20]).expect("written");
    let search = format!("{}:/sbin:/usr/sbin", std::env::var("PATH").expect("a path"));
    let mut sfdisk = Command::new("sfdisk")
        .env("PATH", &search)
        .args(["--quiet", "--no-reread", "--no-tell-kernel"])
        .arg(&path)
        .stdin(Stdio::piped())
        .spawn()
        .expect("sfdisk is installed by scripts/setup");
    sfdisk.stdin.take().expect("piped").write_all(script.as_bytes()).expect("read");
    assert!(sfdisk.wait().expect("ended").success());
    let bytes = std::fs::read(&path).expect("there");
    std::fs::remove_file(&path).expect("removed");
    bytes
}

fn table(bytes: Vec<u8>, logical_sector: usize) -> Table {
    let image = Image { bytes, logical_sector };
    host::block_on(1, async move { read_table(&image).await }).expect("readable")
}

fn places(table: &Table) -> Vec<(u32, u64, u64)> {
    table.partitions.iter().map(|partition| (partition.number, partition.first, partition.sectors)).collect()
}

const MBR: &str = "label: dos\nlabel-id: 0x12345678\n\
    start=2048, size=4096, type=83\nstart=8192, size=24576, type=5\nstart=34816, size=2048, type=82\n\
    start=10240, size=2048, type=83\nstart=14336, size=4096, type=83\nstart=20480, size=2048, type=7\n";

const GPT: &str = "label: gpt\n\
    start=2048, size=4096, type=0FC63DAF-8483-4772-8E79-3D69D8477DE4, \
    uuid=11111111-2222-3333-4444-555555555555, name=\"Würzel\"\n\
    start=8192, size=2048, type=C12A7328-F81F-11D2-BA4B-00A0C93EC93B\n";

#[test]
fn primary_and_logical_partitions() {
    let table = table(divided("mbr", 32, MBR), 512);
    assert_eq!(table.scheme, Scheme::Mbr);
    let expected = [
        (1, 2048, 4096),
        (2, 8192, 2),
        (3, 34816, 2048),
        (5, 10240, 2048),
        (6, 14336, 4096),
        (7, 20480, 2048),
    ];
    assert_eq!(places(&table), expected);
    assert_eq!((&*table.partitions[0].kind, &*table.partitions[0].uuid), ("83", "12345678-01"));
    assert_eq!((&*table.partitions[5].kind, &*table.partitions[5].uuid), ("07", "12345678-07"));
}

#[test]
fn gpt_and_its_copy() {
    let bytes = divided("gpt", 16, GPT);
    let expected = table(bytes.clone(), 512);
    assert_eq!(expected.scheme, Scheme::Gpt);
    assert_eq!(places(&expected), [(1, 2048, 4096), (2, 8192, 2048)]);
    let first = &expected.partitions[0];
    assert_eq!((&*first.name, &*first.uuid), ("Würzel", "11111111-2222-3333-4444-555555555555"));
    assert_eq!(first.kind, "0fc63daf-8483-4772-8e79-3d69d8477de4");
    for damaged in [512 + 20, 512 + 89, 2 * 512 + 33] {
        let mut bytes = bytes.clone();
        bytes[damaged] ^= 1;
        assert_eq!(table(bytes, 512), expected, "the copy serves if byte {damaged} is wrong");
    }
    let mut bytes = bytes;
    let last = bytes.len() - 512;
    (bytes[512 + 20], bytes[last + 20]) = (1, 1);
    assert_eq!(table(bytes, 512).scheme, Scheme::Mbr, "neither is whole");
}

#[test]
fn what_is_no_table() {
    for bytes in [vec![], vec![0; 512], vec![0; 1 << 20], vec![0xff; 1 << 20]] {
        assert_eq!(table(bytes, 512).scheme, Scheme::None);
    }
    // A FAT's boot sector ends like an MBR.
    let mut fat = vec![0x61; 1 << 16];
    (fat[510], fat[511]) = (0x55, 0xaa);
    assert_eq!(table(fat, 512).scheme, Scheme::None);
}

/// Nothing in a table is believed: no panic, no read outside of the disk, no chain without an end.
#[test]
fn mutated_tables_do_no_harm() {
    let tables = [divided("mbr-mutated", 32, MBR), divided("gpt-mutated", 16, GPT)];
    let mut state = 0x1234_5678_9abc_def1u64;
    let mut random = |bound: usize| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        (state % bound as u64) as usize
    };
    for round in 0..120 {
        let mut bytes = tables[round % 2].clone();
        let spots: &[(usize, usize)] = if round % 2 == 0 {
            &[(440, 72), (8192 * 512 + 446, 64), (12288 * 512 + 446, 64), (18432 * 512 + 446, 64)]
        } else {
            &[(446, 64), (512, 92), (1024, 256)]
        };
        for _ in 0..1 + random(8) {
            let (start, length) = spots[random(spots.len())];
            let at = start + random(length);
            bytes[at] = [0, 5, 0x0f, 0x7f, 0x80, 0xff, random(256) as u8][random(7)];
        }
        if round % 2 == 1 && random(2) == 0 {
            // With the checksum right, the content is looked at.
            let crc = crc::Crc::<u32>::new(&crc::CRC_32_ISO_HDLC);
            let entries = crc.checksum(&bytes[1024..1024 + 128 * 128]).to_le_bytes();
            bytes[512 + 88..512 + 92].copy_from_slice(&entries);
            bytes[512 + 16..512 + 20].fill(0);
            let header = crc.checksum(&bytes[512..512 + 92]).to_le_bytes();
            bytes[512 + 16..512 + 20].copy_from_slice(&header);
        }
        let sectors = bytes.len() as u64 / 512;
        let found = table(bytes, [512, 4096][random(2)]);
        for partition in &found.partitions {
            assert!(partition.sectors > 0 && partition.first + partition.sectors <= sectors, "{partition:?}");
        }
    }
}

/// An extended record that is its own successor.
#[test]
fn a_chain_that_bites_its_tail_ends() {
    let mut bytes = vec![0; 1 << 20];
    let mut entry = |sector: usize, number: usize, kind: u8, first: u32, sectors: u32| {
        let at = sector * 512 + 446 + 16 * number;
        bytes[at + 4] = kind;
        bytes[at + 8..at + 12].copy_from_slice(&first.to_le_bytes());
        bytes[at + 12..at + 16].copy_from_slice(&sectors.to_le_bytes());
        (bytes[sector * 512 + 510], bytes[sector * 512 + 511]) = (0x55, 0xaa);
    };
    entry(0, 0, 5, 100, 1000);
    entry(100, 0, 0x83, 1, 10);
    entry(100, 1, 5, 0, 10);
    assert!(table(bytes, 512).partitions.len() < 300);
}
