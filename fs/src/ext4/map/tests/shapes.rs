//! What trees look like after single changes.

use super::*;
use executor::host::block_on;

fn run(physical: u64, count: u64, written: bool) -> Run {
    Run { physical: Some(physical), written, count }
}

#[test]
fn neighbours_are_one_extent() {
    let disk = Disk::new(&["-t", "ext4", "-b", "1024"], "8M");
    block_on(1, async move {
        let mounted = disk.mount().await;
        let home = mounted.node.home();
        assert_eq!(mounted.node.goal(7).await, Ok(home));
        let (first, count) = mounted.insert(2, 3000, 1, true).await.unwrap();
        assert_eq!((first, count), (3000, 1));
        assert_eq!(mounted.node.goal(5).await, Ok(3003));
        assert_eq!(mounted.node.goal(1).await, Ok(2999));
        assert_eq!(mounted.node.goal(1 << 40).await, Ok(home));
        for (logical, goal) in [(4, 3002), (3, 3001), (1, 2999)] {
            mounted.insert(logical, goal, 1, true).await.unwrap();
        }
        let all = [(0, Run::hole(1)), (1, run(2999, 4, true))];
        assert_eq!(mounted.runs(5).await, all);
        // Neither what is read as zeros nor what lies elsewhere on the disk.
        mounted.insert(5, 3003, 5, false).await.unwrap();
        mounted.insert(10, 4000, 1, false).await.unwrap();
        let rest = [(5, run(3003, 5, false)), (10, run(4000, 1, false))];
        assert_eq!(mounted.runs(11).await, [&all[..], &rest].concat());
        // The middle, then what makes it one with the rest.
        mounted.mark(6..8).await.unwrap();
        let parts = [(5, run(3003, 1, false)), (6, run(3004, 2, true)), (8, run(3006, 2, false))];
        assert_eq!(mounted.runs(10).await, [&all[..], &parts].concat());
        assert_eq!(mounted.depth(), 1);
        mounted.mark(3..6).await.unwrap();
        assert_eq!(mounted.runs(8).await, [(0, Run::hole(1)), (1, run(2999, 7, true))]);
        // As few levels as there can be again.
        assert_eq!(mounted.depth(), 0);
        mounted.remove(4..5).await.unwrap();
        let parts = [(1, run(2999, 3, true)), (4, Run::hole(1)), (5, run(3003, 3, true))];
        assert_eq!(mounted.runs(8).await[1..], parts);
        mounted.end().await;
        disk.check();
    });
}

#[test]
fn a_node_that_is_needed_only_on_the_way_is_not_taken() {
    let disk = Disk::new(&["-t", "ext4", "-b", "1024"], "8M");
    block_on(1, async move {
        let mounted = disk.mount().await;
        for (logical, goal, count, written) in
            [(0, 3000, 2, true), (2, 3002, 4, false), (6, 4000, 2, false), (8, 4002, 2, true)]
        {
            assert_eq!(mounted.insert(logical, goal, count, written).await, Ok((goal, count)));
        }
        let taken = mounted.taken().await;
        // Five extents, for which the inode has no room, then four again.
        mounted.mark(3..8).await.unwrap();
        let parts = [(0, 3000, 2, true), (2, 3002, 1, false), (3, 3003, 3, true), (6, 4000, 4, true)];
        let parts = parts.map(|(at, first, count, written)| (at, run(first, count, written)));
        assert_eq!(mounted.runs(10).await, parts);
        assert_eq!((mounted.depth(), mounted.taken().await), (0, taken));
        mounted.end().await;
        disk.check();
    });
}

#[test]
fn lists_end_where_they_end() {
    let disk = Disk::new(&["-t", "ext2", "-b", "1024"], "8M");
    block_on(1, async move {
        let mounted = disk.mount().await;
        let (first, count) = mounted.insert(8, 3000, 300, true).await.unwrap();
        assert_eq!((first, count), (3000, 300));
        let parts = [(8, 3000, 4), (12, 3004, 256), (268, 3260, 40)];
        let parts = parts.map(|(at, first, count)| (at, run(first, count, true)));
        assert_eq!(mounted.runs(308).await[1..], parts);
        assert_eq!(mounted.node.goal(308).await, Ok(3300));
        assert_eq!(mounted.node.goal(310).await, Ok(3302));
        // 300 blocks, a list, two lists above each other; two sectors each.
        assert_eq!(mounted.node.attributes.blocks.load(Relaxed), 606);
        mounted.remove(12..268).await.unwrap();
        assert_eq!(mounted.node.attributes.blocks.load(Relaxed), 92);
        let unwritten = mounted.insert(400, 5000, 1, false).await;
        assert_eq!(unwritten, Err(Errno::EOPNOTSUPP));
        mounted.end().await;
        disk.check();
    });
}

#[test]
fn extents_are_as_long_as_they_can_be() {
    let disk = Disk::new(&["-t", "ext4", "-b", "4096"], "2G");
    block_on(1, async move {
        let mounted = disk.mount().await;
        // Whole groups, which have nothing of the file system's own.
        let geometry = &mounted.volume.geometry;
        let is_free = |number: &u32| {
            let group = &mounted.volume.space.groups()[*number as usize];
            group.descriptor(geometry).free_blocks() == 32768
        };
        let number =
            (0..geometry.groups - 1).find(|number| is_free(number) && is_free(&(number + 1))).unwrap();
        let (start, next) = (geometry.blocks_of_group(number).start, geometry.blocks_of_group(number).end);
        assert_eq!(mounted.insert(0, start, 32768, false).await, Ok((start, 32768)));
        let parts = [(0, run(start, 32767, false)), (32767, run(start + 32767, 1, false))];
        assert_eq!(mounted.runs(32768).await, parts);
        mounted.mark(0..32767).await.unwrap();
        mounted.mark(32767..32768).await.unwrap();
        assert_eq!(mounted.runs(32768).await, [(0, run(start, 32768, true))]);
        // One more would be too many.
        let (beside, _) = mounted.insert(32768, next, 1, true).await.unwrap();
        assert_eq!(beside, next);
        assert_eq!(mounted.runs(32769).await[1], (32768, run(next, 1, true)));
        mounted.end().await;
        disk.check();
    });
}

#[test]
fn blocks_written_in_order_fill_their_leaves() {
    let disk = Disk::new(&["-t", "ext4", "-b", "1024"], "8M");
    block_on(1, async move {
        let mounted = disk.mount().await;
        let before = mounted.taken().await;
        for number in 0..84 * 4 {
            mounted.insert(2 * number, 3000, 1, true).await.unwrap();
        }
        assert_eq!(mounted.depth(), 1);
        // Two sectors each; four leaves of 84 entries.
        assert_eq!(mounted.taken().await.1 - before.1, 2 * (84 * 4 + 4));
        mounted.insert(2 * 84 * 4, 3000, 1, true).await.unwrap();
        assert_eq!(mounted.depth(), 2);
        mounted.end().await;
        disk.check();
    });
}

#[test]
fn blocks_of_directories_are_few_at_a_time() {
    let disk = Disk::new(&["-t", "ext4", "-b", "1024"], "8M");
    block_on(1, async move {
        let mut mounted = disk.mount().await;
        let number = mounted.volume.geometry.first_inode;
        mounted.node = Arc::new(Node::read(&mounted.volume, number, Expected::Name).await.unwrap());
        let node = mounted.node.clone();
        let blocks = node.attributes.size() / 1024;
        assert!(blocks >= 12);
        let plan = node.plan_remove(4..blocks).await.unwrap();
        assert!(plan.rest().is_empty());
        assert!(plan.credits() as u64 >= blocks - 4);
        node.set_stored_size(4 * 1024);
        mounted.change(plan.credits(), |apply| plan.apply(apply)).await;
        drop(node);
        mounted.end().await;
        disk.check();
    });
}
