//! What a command did on Rusk, held against what it did on Linux.

use super::batch::Outcome;

/// Fails with the lines that differ, those of Linux after `-`, ours after `+`.
pub fn compare(ours: &Outcome, theirs: &Outcome) {
    if ours == theirs {
        return;
    }
    let lines = |outcome: &Outcome| {
        let end = format!("({})", outcome.end);
        outcome.output.lines().map(str::to_owned).chain([end]).collect::<Vec<_>>()
    };
    panic!("differs from Linux:\n{}", difference(&lines(theirs), &lines(ours)));
}

/// The lines of a longest common subsequence are left out, the others marked.
fn difference(old: &[String], new: &[String]) -> String {
    let mut common = vec![vec![0_usize; new.len() + 1]; old.len() + 1];
    for (i, left) in old.iter().enumerate().rev() {
        for (j, right) in new.iter().enumerate().rev() {
            let longest = common[i + 1][j].max(common[i][j + 1]);
            common[i][j] = if left == right { common[i + 1][j + 1] + 1 } else { longest };
        }
    }
    let (mut i, mut j, mut text) = (0, 0, String::new());
    while i < old.len() || j < new.len() {
        if i < old.len() && j < new.len() && old[i] == new[j] {
            (i, j) = (i + 1, j + 1);
        } else if j == new.len() || (i < old.len() && common[i + 1][j] >= common[i][j + 1]) {
            text.push_str(&format!("-{}\n", old[i]));
            i += 1;
        } else {
            text.push_str(&format!("+{}\n", new[j]));
            j += 1;
        }
    }
    text
}
