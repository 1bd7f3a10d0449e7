//! Import cycles: modules that import each other, directly or through others.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::path::{Path, PathBuf};

use crate::modules::{Crate, Target};

/// One import of a cycle.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Step {
    pub(crate) from: PathBuf,
    pub(crate) line: usize,
    pub(crate) to: PathBuf,
}

/// Returns the cycles of a crate, the shorter ones first. Each module is reported at most once. Imports that are compiled for
/// tests only do not count.
pub(crate) fn cycles(krate: &Crate) -> Vec<Vec<Step>> {
    let mut graph: BTreeMap<&Path, BTreeMap<&Path, usize>> = BTreeMap::new();
    for (file, imports) in &krate.imports {
        for import in imports {
            if let Target::Module(to) = &import.target
                && !import.for_tests
            {
                graph.entry(file).or_default().entry(to).or_insert(import.line);
            }
        }
    }
    let mut cycles = Vec::new();
    let mut reported: BTreeSet<&Path> = BTreeSet::new();
    // Longer cycles often consist of shorter ones.
    let mut found: Vec<Vec<&Path>> = graph.keys().filter_map(|start| shortest(&graph, start)).collect();
    found.sort_by_key(Vec::len);
    for cycle in found {
        if cycle.iter().any(|module| reported.contains(module)) {
            continue;
        }
        reported.extend(&cycle);
        let next = cycle.iter().cycle().skip(1);
        let steps = cycle.iter().zip(next).map(|(from, to)| {
            let line = graph.get(from).and_then(|imports| imports.get(to)).copied().unwrap_or_default();
            Step { from: (*from).to_owned(), line, to: (*to).to_owned() }
        });
        cycles.push(steps.collect());
    }
    cycles
}

/// Returns the modules on a shortest path from a module back to itself.
fn shortest<'a>(graph: &BTreeMap<&'a Path, BTreeMap<&'a Path, usize>>, start: &'a Path) -> Option<Vec<&'a Path>> {
    let mut reached_from: BTreeMap<&Path, &Path> = BTreeMap::new();
    let mut next = VecDeque::from([start]);
    while let Some(module) = next.pop_front() {
        for import in graph.get(module).into_iter().flatten().map(|(to, _)| *to) {
            if import == start {
                let mut cycle = vec![module];
                while let Some(before) =
                    cycle.last().filter(|last| **last != start).and_then(|last| reached_from.get(last))
                {
                    cycle.push(before);
                }
                cycle.reverse();
                return Some(cycle);
            }
            if !reached_from.contains_key(import) {
                reached_from.insert(import, module);
                next.push_back(import);
            }
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::modules::crates_of;

    /// The cycles among these files, each as the files on it.
    fn found(files: &[(&str, &str)]) -> Vec<String> {
        let cycles = crates_of(files).iter().flat_map(cycles).collect::<Vec<_>>();
        let names = |cycle: &Vec<Step>| cycle.iter().map(|step| step.from.display().to_string()).collect::<Vec<_>>();
        cycles.iter().map(|cycle| names(cycle).join(" > ")).collect()
    }

    const TOP: (&str, &str) = ("src/lib.rs", "mod a; mod b; mod c;");

    #[test]
    fn two_modules_that_import_each_other_are_a_cycle() {
        let files = [TOP, ("src/a.rs", "use crate::b::B;"), ("src/b.rs", "fn b(_: crate::a::A) {}"), ("src/c.rs", "")];
        assert_eq!(found(&files), ["src/a.rs > src/b.rs"]);
    }

    #[test]
    fn modules_that_import_each_other_through_others_are_a_cycle() {
        let files = [
            TOP,
            ("src/a.rs", "use crate::b::B;"),
            ("src/b.rs", "use super::c;"),
            ("src/c.rs", "use crate::a::{self, A};"),
        ];
        assert_eq!(found(&files), ["src/a.rs > src/b.rs > src/c.rs"]);
    }

    #[test]
    fn a_parent_and_a_child_that_use_each_other_are_a_cycle() {
        let parent = ("src/a.rs", "mod child; pub use child::Child;");
        let top = ("src/lib.rs", "mod a;");
        assert_eq!(found(&[top, parent, ("src/a/child.rs", "use super::A;")]), ["src/a/child.rs > src/a.rs"]);
        assert!(found(&[top, parent, ("src/a/child.rs", "")]).is_empty());
        assert!(found(&[top, ("src/a.rs", "mod child;"), ("src/a/child.rs", "use super::A;")]).is_empty());
    }

    #[test]
    fn modules_that_import_in_one_direction_are_no_cycle() {
        let files = [
            TOP,
            ("src/a.rs", "use crate::{b::B, c::C};"),
            ("src/b.rs", "use crate::c::C;"),
            ("src/c.rs", "use std::io;"),
        ];
        assert!(found(&files).is_empty());
    }

    #[test]
    fn what_is_compiled_for_tests_only_does_not_count() {
        for test in [
            "#[cfg(test)] mod tests { use crate::a::A; }",
            "#[cfg(all(test, unix))] use crate::a::A;",
            "struct B; impl B { #[cfg(test)] fn new() -> crate::a::A { crate::a::A } }",
        ] {
            assert!(found(&[TOP, ("src/a.rs", "use crate::b::B;"), ("src/b.rs", test), ("src/c.rs", "")]).is_empty());
        }
        let files = [("src/lib.rs", "#[cfg(test)] mod tests; fn f() {}"), ("src/tests.rs", "use crate::f;")];
        assert!(found(&files).is_empty());
    }

    #[test]
    fn each_module_is_reported_once_in_its_shortest_cycle() {
        let files = [
            ("src/lib.rs", "mod a; mod b; mod c; mod d;"),
            ("src/a.rs", "use crate::b::B;"),
            ("src/b.rs", "use crate::{c::C, a::A};"),
            ("src/c.rs", "use crate::{d::D, a::A};"),
            ("src/d.rs", "use crate::c::C;"),
        ];
        assert_eq!(found(&files), ["src/a.rs > src/b.rs", "src/c.rs > src/d.rs"]);
    }
}
