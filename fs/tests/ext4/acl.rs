//! Access control lists: who may set them, what they let whom do, and what of them is on the disk.

use crate::attributes::Mounted;
use crate::common::{Tree, run};
use crate::image::{Folder, Image};
use fs::acl::{ACCESS, Acl, DEFAULT, Entry, Tag};
use fs::*;
use syscalls::Errno;

fn list(entries: &[(Tag, u32)]) -> Vec<u8> {
    let entry = |(tag, bits): &(Tag, u32)| Entry { tag: *tag, access: Access::from_bits_truncate(*bits) };
    Acl::new(entries.iter().map(entry).collect()).to_xattr().unwrap()
}

fn image() -> Image {
    let source = Folder::new();
    std::fs::create_dir(source.path().join("d")).unwrap();
    std::fs::write(source.path().join("d/f"), b"contents").unwrap();
    std::fs::write(source.path().join("g"), b"contents").unwrap();
    Image::make(&["-t", "ext4"], Some(source.path()), 8)
}

async fn may(tree: &Tree, path: &str, who: &Credentials, access: Access) -> bool {
    let found = tree.view_as(who).lookup(path.as_bytes(), LookupFlags::FOLLOW).await;
    found.is_ok_and(|found| check_at(&found, who, access).is_ok())
}

async fn set(tree: &Tree, path: &str, who: &Credentials, value: &[u8]) -> Result<()> {
    set_xattr(&tree.find(path).await.unwrap(), who, ACCESS, value, XattrMode::Set).await
}

#[test]
fn lists_count_and_stay() {
    let image = image();
    run(async move {
        let (owner, friend) = (Credentials::user(100, 100, &[]), Credentials::user(101, 101, &[]));
        let (member, stranger) = (Credentials::user(102, 102, &[200]), Credentials::user(103, 103, &[]));
        let mounted = Mounted::new(&image).await;
        let tree = Tree::on(mounted.ext4.clone());
        for path in ["/g", "/d", "/d/f"] {
            set_owner(&tree.find(path).await.unwrap(), &tree.superuser, Some(100), Some(200)).await.unwrap();
        }
        let file = tree.find("/g").await.unwrap();
        set_mode(&file, &owner, 0o640).await.unwrap();
        assert!(
            may(&tree, "/g", &member, Access::READ).await && !may(&tree, "/g", &friend, Access::READ).await
        );

        let value = list(&[
            (Tag::Owner, 6),
            (Tag::User(101), 6),
            (Tag::OwningGroup, 0),
            (Tag::Mask, 6),
            (Tag::Other, 0),
        ]);
        for who in [&friend, &member] {
            assert_eq!(set(&tree, "/g", who, &value).await, Err(Errno::EPERM));
        }
        assert_eq!(set(&tree, "/g", &owner, &value[..20]).await, Err(Errno::EINVAL));
        assert_eq!(get_xattr(&file, &friend, ACCESS).await, Err(Errno::ENODATA));
        set(&tree, "/g", &owner, &value).await.unwrap();
        assert_eq!(get_xattr(&file, &stranger, ACCESS).await.unwrap(), value);
        // The mask is what the group seems to have.
        assert_eq!(tree.stat("/g").await.unwrap().permissions, 0o660);
        assert!(may(&tree, "/g", &friend, Access::READ | Access::WRITE).await);
        assert!(!may(&tree, "/g", &member, Access::READ).await);
        assert!(!may(&tree, "/g", &stranger, Access::READ).await);

        set_mode(&file, &owner, 0o640).await.unwrap();
        let less = list(&[
            (Tag::Owner, 6),
            (Tag::User(101), 6),
            (Tag::OwningGroup, 0),
            (Tag::Mask, 4),
            (Tag::Other, 0),
        ]);
        assert_eq!(get_xattr(&file, &friend, ACCESS).await.unwrap(), less);
        assert!(
            may(&tree, "/g", &friend, Access::READ).await && !may(&tree, "/g", &friend, Access::WRITE).await
        );

        // A directory that everyone may search but one.
        let value = list(&[
            (Tag::Owner, 7),
            (Tag::User(101), 0),
            (Tag::OwningGroup, 5),
            (Tag::Mask, 5),
            (Tag::Other, 5),
        ]);
        set(&tree, "/d", &owner, &value).await.unwrap();
        assert_eq!(tree.stat("/d").await.unwrap().permissions, 0o755);
        assert!(
            !may(&tree, "/d/f", &friend, Access::READ).await
                && may(&tree, "/d/f", &stranger, Access::READ).await
        );

        // What the bits can say is not stored.
        let plain = list(&[(Tag::Owner, 7), (Tag::OwningGroup, 4), (Tag::Other, 1)]);
        set(&tree, "/d/f", &owner, &plain).await.unwrap();
        let inner = tree.find("/d/f").await.unwrap();
        assert_eq!(tree.stat("/d/f").await.unwrap().permissions, 0o741);
        assert_eq!(inner.inode().list_xattrs().await.unwrap(), b"");
        // Nor is anything where there is nothing to remove.
        remove_xattr(&inner, &owner, ACCESS).await.unwrap();
        let result = set_xattr(&file, &owner, DEFAULT, &value, XattrMode::Set).await;
        assert_eq!(result, Err(Errno::EACCES));
        drop((file, inner, tree));
        mounted.unmount().await;
        image.check();

        // As the disk has it.
        let mounted = Mounted::new(&image).await;
        let tree = Tree::on(mounted.ext4.clone());
        let file = tree.find("/g").await.unwrap();
        assert_eq!(get_xattr(&file, &friend, ACCESS).await.unwrap(), less);
        assert!(
            may(&tree, "/g", &friend, Access::READ).await && !may(&tree, "/g", &member, Access::READ).await
        );
        assert!(!may(&tree, "/d/f", &friend, Access::READ).await);
        remove_xattr(&file, &owner, ACCESS).await.unwrap();
        assert_eq!(tree.stat("/g").await.unwrap().permissions, 0o640);
        assert!(
            !may(&tree, "/g", &friend, Access::READ).await && may(&tree, "/g", &member, Access::READ).await
        );
        drop((file, tree));
        mounted.unmount().await;
        image.check();
        assert!(!image.debugfs("ea_list g\n").contains("posix_acl"));
        assert!(image.debugfs("ea_list d\n").contains("posix_acl_access"));
    });
}

/// Who is not in the group of a file does not keep its set-group-id bit; a list that is none lets nobody in.
#[test]
fn set_group_id_and_spoilt_lists() {
    let image = image();
    let value = image.path().with_file_name("value");
    std::fs::write(&value, [9; 12]).unwrap();
    image
        .debugfs(&format!("ea_set -r -f {} d system.posix_acl_access\nsif d mode 040777\n", value.display()));
    run(async move {
        let mounted = Mounted::new(&image).await;
        let tree = Tree::on(mounted.ext4.clone());
        let (owner, stranger) = (Credentials::user(100, 100, &[]), Credentials::user(103, 103, &[]));
        let file = tree.find("/g").await.unwrap();
        set_owner(&file, &tree.superuser, Some(100), Some(200)).await.unwrap();
        set_mode(&file, &tree.superuser, 0o2755).await.unwrap();
        let value = list(&[
            (Tag::Owner, 7),
            (Tag::User(7), 1),
            (Tag::OwningGroup, 5),
            (Tag::Mask, 5),
            (Tag::Other, 5),
        ]);
        set(&tree, "/g", &tree.superuser, &value).await.unwrap();
        assert_eq!(tree.stat("/g").await.unwrap().permissions, 0o2755);
        set(&tree, "/g", &owner, &value).await.unwrap();
        assert_eq!(tree.stat("/g").await.unwrap().permissions, 0o755);
        assert_eq!(get_xattr(&file, &owner, ACCESS).await.unwrap(), value);

        assert!(!may(&tree, "/d/f", &stranger, Access::READ).await);
        let directory = tree.find("/d").await.unwrap();
        assert_eq!(get_xattr(&directory, &owner, ACCESS).await, Err(Errno::EIO));
        remove_xattr(&directory, &tree.superuser, ACCESS).await.unwrap();
        assert!(may(&tree, "/d/f", &stranger, Access::READ).await);
        drop((file, directory, tree));
        mounted.unmount().await;
        image.check();
    });
}

/// Files get the default list of the directory that they are made in, cut down to the permissions that are asked for; the umask
/// does not count then.
#[test]
fn files_inherit_lists() {
    for options in [&["-t", "ext4"][..], &["-t", "ext4", "-I", "128"]] {
        let image = Image::make(options, None, 8);
        run(async move {
            let root = Credentials::root();
            let mounted = Mounted::new(&image).await;
            let tree = Tree::on(mounted.ext4.clone());
            let make = async |path: &str, kind, permissions| {
                View { umask: 0o077, ..tree.view() }.make(path.as_bytes(), kind, permissions).await.unwrap()
            };
            let permissions = |path: &Path| path.inode().attributes().permissions();
            let directory = make("/d", Kind::Directory, 0o755).await;
            assert_eq!(permissions(&directory), 0o700);
            let entries = |owner, user, group, mask, other| {
                list(&[
                    (Tag::Owner, owner),
                    (Tag::User(101), user),
                    (Tag::OwningGroup, group),
                    (Tag::Mask, mask),
                    (Tag::Other, other),
                ])
            };
            let default = entries(7, 7, 5, 7, 5);
            set_xattr(&directory, &root, DEFAULT, &default, XattrMode::Set).await.unwrap();
            assert_eq!(permissions(&directory), 0o700);

            let file = make("/d/file", Kind::Regular, 0o664).await;
            assert_eq!(permissions(&file), 0o664);
            assert_eq!(get_xattr(&file, &root, ACCESS).await.unwrap(), entries(6, 7, 5, 6, 4));
            assert_eq!(get_xattr(&file, &root, DEFAULT).await, Err(Errno::ENODATA));
            let friend = Credentials::user(101, 101, &[]);
            assert!(check_at(&file, &friend, Access::READ | Access::WRITE).is_ok());
            assert!(check_at(&file, &friend, Access::EXECUTE).is_err());
            let inner = make("/d/inner", Kind::Directory, 0o750).await;
            assert_eq!(permissions(&inner), 0o750);
            assert_eq!(get_xattr(&inner, &root, ACCESS).await.unwrap(), entries(7, 7, 5, 5, 0));
            assert_eq!(get_xattr(&inner, &root, DEFAULT).await.unwrap(), default);
            let link = make("/d/link", Kind::Symlink(b"file"), 0o777).await;
            assert_eq!((permissions(&link), link.inode().list_xattrs().await.unwrap()), (0o777, Vec::new()));

            // What the bits can say is not stored with the file.
            let plain = list(&[(Tag::Owner, 7), (Tag::OwningGroup, 5), (Tag::Other, 5)]);
            set_xattr(&directory, &root, DEFAULT, &plain, XattrMode::Set).await.unwrap();
            drop(file);
            let file = make("/d/plain", Kind::Regular, 0o666).await;
            assert_eq!((permissions(&file), file.inode().list_xattrs().await.unwrap()), (0o644, Vec::new()));
            remove_xattr(&directory, &root, DEFAULT).await.unwrap();
            drop(file);
            let file = make("/d/masked", Kind::Regular, 0o666).await;
            assert_eq!(permissions(&file), 0o600);
            drop((directory, file, inner, link, tree));
            mounted.unmount().await;
            image.check();

            let mounted = Mounted::new(&image).await;
            let tree = Tree::on(mounted.ext4.clone());
            let inner = tree.find("/d/inner").await.unwrap();
            assert_eq!(get_xattr(&inner, &root, ACCESS).await.unwrap(), entries(7, 7, 5, 5, 0));
            assert_eq!(get_xattr(&inner, &root, DEFAULT).await.unwrap(), default);
            drop((inner, tree));
            mounted.unmount().await;
        });
    }
}
