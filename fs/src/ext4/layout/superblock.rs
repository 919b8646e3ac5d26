//! The superblock.

use zerocopy::little_endian::{U16, U32, U64};
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

/// Where it is on the disk, bytes.
pub const SUPERBLOCK_OFFSET: u64 = 1024;
/// What its `magic` is.
pub const SUPERBLOCK_MAGIC: u16 = 0xef53;

/// The superblock: 1024 bytes.
#[derive(Clone, FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned)]
#[repr(C)]
pub struct RawSuperblock {
    pub inodes_count: U32,
    pub blocks_count: U32,
    pub reserved_blocks_count: U32,
    pub free_blocks_count: U32,
    pub free_inodes_count: U32,
    pub first_data_block: U32,
    pub log_block_size: U32,
    pub log_cluster_size: U32,
    pub blocks_per_group: U32,
    pub clusters_per_group: U32,
    pub inodes_per_group: U32,
    pub mount_time: U32,
    pub write_time: U32,
    pub mount_count: U16,
    pub max_mount_count: U16,
    pub magic: U16,
    pub state: U16,
    pub errors: U16,
    pub minor_revision: U16,
    pub last_check: U32,
    pub check_interval: U32,
    pub creator_os: U32,
    pub revision: U32,
    pub reserved_uid: U16,
    pub reserved_gid: U16,
    pub first_inode: U32,
    pub inode_size: U16,
    pub block_group: U16,
    pub feature_compat: U32,
    pub feature_incompat: U32,
    pub feature_ro_compat: U32,
    pub uuid: [u8; 16],
    pub volume_name: [u8; 16],
    pub last_mounted: [u8; 64],
    pub algorithms: U32,
    pub preallocate_blocks: u8,
    pub preallocate_directory_blocks: u8,
    pub reserved_descriptor_blocks: U16,
    pub journal_uuid: [u8; 16],
    pub journal_inode: U32,
    pub journal_device: U32,
    pub last_orphan: U32,
    pub hash_seed: [U32; 4],
    pub hash_version: u8,
    pub journal_backup_type: u8,
    pub descriptor_size: U16,
    pub default_mount_options: U32,
    pub first_meta_group: U32,
    pub creation_time: U32,
    pub journal_blocks: [U32; 17],
    pub blocks_count_high: U32,
    pub reserved_blocks_count_high: U32,
    pub free_blocks_count_high: U32,
    pub min_extra_size: U16,
    pub want_extra_size: U16,
    pub flags: U32,
    pub raid_stride: U16,
    pub mmp_interval: U16,
    pub mmp_block: U64,
    pub raid_stripe_width: U32,
    pub log_groups_per_flex: u8,
    pub checksum_type: u8,
    pub reserved_padding: U16,
    pub kilobytes_written: U64,
    pub snapshot: [U32; 5],
    pub error_count: U32,
    pub first_error: [u8; 52],
    pub last_error: [u8; 52],
    pub mount_options: [u8; 64],
    pub user_quota_inode: U32,
    pub group_quota_inode: U32,
    pub overhead_blocks: U32,
    pub backup_groups: [U32; 2],
    pub encryption_algorithms: [u8; 4],
    pub encryption_salt: [u8; 16],
    pub lost_found_inode: U32,
    pub project_quota_inode: U32,
    pub checksum_seed: U32,
    pub times_high: [u8; 6],
    pub error_codes: [u8; 2],
    pub encoding: U16,
    pub encoding_flags: U16,
    pub orphan_file_inode: U32,
    pub reserved: [U32; 94],
    /// Of all before it.
    pub checksum: U32,
}

const _: () = assert!(size_of::<RawSuperblock>() == 1024);
const _: () = assert!(core::mem::offset_of!(RawSuperblock, journal_inode) == 0xe0);
const _: () = assert!(core::mem::offset_of!(RawSuperblock, blocks_count_high) == 0x150);
const _: () = assert!(core::mem::offset_of!(RawSuperblock, error_count) == 0x194);
const _: () = assert!(core::mem::offset_of!(RawSuperblock, checksum_seed) == 0x270);
