//! The crates of the workspace as trees of modules, and the imports of each module.
//!
//! A module is a source file, together with the inline modules in it. Module A imports module B if a path in A leads to
//! something in B: `use crate::b::Item`, `super::b::item()`, `b::Item` in the parent of `b`, or a glob. The path counts as
//! it is written, so an item that B only re-exports is imported from B. The declaration `mod b;` alone imports nothing.

use std::collections::{BTreeMap, BTreeSet};
use std::error::Error;
use std::path::{Component, Path, PathBuf};

use crate::imports::{Declared, Source, Written};

/// Every source file, by its path from the top of the workspace.
pub(crate) type Files = BTreeMap<PathBuf, String>;

/// What a path refers to.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Target {
    /// A module of the same crate, by its file.
    Module(PathBuf),
    /// Another crate, by its name. Other names, such as that of an enum, end up here as well.
    Elsewhere(String),
}

/// A path that refers to another module or crate.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Import {
    pub(crate) line: usize,
    pub(crate) target: Target,
    /// Whether it is compiled for tests only.
    pub(crate) for_tests: bool,
}

/// A crate: a library, a program, an integration test or a benchmark.
#[derive(Debug)]
pub(crate) struct Crate {
    /// The imports of each of its files.
    pub(crate) imports: BTreeMap<PathBuf, BTreeSet<Import>>,
}

/// The path of a module in its crate: `crate::a::b` is `["a", "b"]`.
type Name = Vec<String>;

/// Returns every crate. A file that no other file declares as its module is the root of one.
pub(crate) fn crates(files: &Files) -> Result<Vec<Crate>, Box<dyn Error>> {
    let mut sources = BTreeMap::new();
    for (path, text) in files {
        let source = Source::parse(text)
            .map_err(|error| format!("{}:{}: {error}", path.display(), error.span().start().line))?;
        sources.insert(path.clone(), source);
    }
    let mut declared = BTreeSet::new();
    for (path, source) in &sources {
        for module in &source.declared {
            declared.insert(file_of(path, module, files)?);
        }
    }
    let roots = files.keys().filter(|path| !declared.contains(*path));
    roots.map(|root| read(root, &sources, files)).collect()
}

/// Reads a crate, following its modules from the root.
fn read(root: &Path, sources: &BTreeMap<PathBuf, Source>, files: &Files) -> Result<Crate, Box<dyn Error>> {
    let mut modules: BTreeMap<Name, PathBuf> = BTreeMap::new();
    let mut found = Vec::new();
    let mut next = vec![(Name::new(), root.to_owned(), false)];
    while let Some((name, file, for_tests)) = next.pop() {
        let source = sources.get(&file).ok_or("a module without a source")?;
        for inline in &source.inline {
            modules.insert([&name[..], inline].concat(), file.clone());
        }
        for module in &source.declared {
            let below = [&name[..], &module.within, std::slice::from_ref(&module.name)].concat();
            next.push((below, file_of(&file, module, files)?, for_tests || module.for_tests));
        }
        modules.insert(name.clone(), file.clone());
        found.push((name, file, for_tests));
    }

    let mut imports: BTreeMap<PathBuf, BTreeSet<Import>> = BTreeMap::new();
    for (name, file, for_tests) in &found {
        let source = sources.get(file).ok_or("a module without a source")?;
        let resolver = Resolver { modules: &modules, file: name, aliases: aliases(source, name, &modules) };
        let found = source.paths.iter().filter_map(|path| {
            let target = match resolver.follow(path).0 {
                Found::Module(target) => Target::Module(modules.get(&target)?.clone()),
                Found::Elsewhere(name) => Target::Elsewhere(name),
            };
            let import = Import { target, for_tests: *for_tests || path.for_tests, line: path.line };
            (import.target != Target::Module(file.clone())).then_some(import)
        });
        imports.entry(file.clone()).or_default().extend(found);
    }
    Ok(Crate { imports })
}

/// Returns the file of a module that `file` declares.
fn file_of(file: &Path, module: &Declared, files: &Files) -> Result<PathBuf, Box<dyn Error>> {
    let folder = file.parent().unwrap_or(Path::new(""));
    if let Some(path) = &module.path {
        return Ok(normal(&folder.join(path)));
    }
    // Below a folder of the file's name, unless the file is the root of a crate.
    let below = folder.join(file.file_stem().unwrap_or_default());
    let candidates = [below.as_path(), folder].into_iter().flat_map(|folder| {
        let folder = module.within.iter().fold(folder.to_owned(), |folder, name| folder.join(name));
        [folder.join(format!("{}.rs", module.name)), folder.join(&module.name).join("mod.rs")]
    });
    let found = candidates.into_iter().find(|path| files.contains_key(path));
    found.ok_or_else(|| format!("{} declares a module {} that has no file", file.display(), module.name).into())
}

/// Returns the path without `..` and `.`.
fn normal(path: &Path) -> PathBuf {
    let mut normal = PathBuf::new();
    for component in path.components() {
        match component {
            Component::ParentDir => {
                normal.pop();
            }
            Component::CurDir => {}
            other => normal.push(other),
        }
    }
    normal
}

enum Found {
    Module(Name),
    Elsewhere(String),
}

/// Resolves the paths in a file.
struct Resolver<'a> {
    modules: &'a BTreeMap<Name, PathBuf>,
    /// The name of the file's module.
    file: &'a Name,
    /// The modules that a `use` in the file imports by a name.
    aliases: BTreeMap<String, Name>,
}

/// Returns the modules that a `use` anywhere in the file imports by a name.
fn aliases(source: &Source, file: &Name, modules: &BTreeMap<Name, PathBuf>) -> BTreeMap<String, Name> {
    let resolver = Resolver { modules, file, aliases: BTreeMap::new() };
    let mut aliases = BTreeMap::new();
    for path in &source.paths {
        if let Some(known_as) = &path.known_as
            && let (Found::Module(module), true) = resolver.follow(path)
        {
            aliases.insert(known_as.clone(), module);
        }
    }
    aliases
}

impl Resolver<'_> {
    /// Returns what a path refers to, and whether it names that module itself and not an item in it.
    fn follow(&self, path: &Written) -> (Found, bool) {
        let mut here = [&self.file[..], &path.within].concat();
        let mut segments = path.segments.iter().map(String::as_str).peekable();
        let first = segments.peek().copied().unwrap_or_default();
        if path.global {
            return (Found::Elsewhere(first.to_owned()), false);
        }
        match first {
            "crate" => {
                here.clear();
                segments.next();
            }
            "self" => {
                segments.next();
            }
            "super" => {
                while segments.next_if_eq(&"super").is_some() {
                    here.pop();
                }
            }
            name => {
                let child = [&here[..], &[name.to_owned()]].concat();
                if self.modules.contains_key(&child) {
                    // It is followed below.
                } else if let Some(alias) = self.aliases.get(name) {
                    segments.next();
                    here.clone_from(alias);
                } else {
                    return (Found::Elsewhere(name.to_owned()), false);
                }
            }
        }
        while let Some(name) = segments.peek() {
            here.push((*name).to_owned());
            if !self.modules.contains_key(&here) {
                here.pop();
                return (Found::Module(here), false);
            }
            segments.next();
        }
        (Found::Module(here), true)
    }
}

/// Returns the crates that these files make, each given by its path and text.
#[cfg(test)]
pub(crate) fn crates_of(files: &[(&str, &str)]) -> Vec<Crate> {
    let files = files.iter().map(|(path, text)| (PathBuf::from(path), (*text).to_owned())).collect();
    crates(&files).unwrap()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What a module `crate::a::b` with this text imports: from its parent, its child, a neighbour and elsewhere.
    fn imports(text: &str) -> Vec<String> {
        let crates = crates_of(&[
            ("src/lib.rs", "mod a; mod n;"),
            ("src/n.rs", "pub mod inline { pub struct N; }"),
            ("src/a.rs", "mod b; mod sibling;"),
            ("src/a/sibling.rs", ""),
            ("src/a/b.rs", &format!("mod child; {text}")),
            ("src/a/b/child.rs", ""),
        ]);
        assert_eq!(crates.len(), 1);
        let imports = crates[0].imports[Path::new("src/a/b.rs")].iter();
        imports
            .map(|import| match &import.target {
                Target::Module(file) => file.strip_prefix("src").unwrap().display().to_string(),
                Target::Elsewhere(name) => name.clone(),
            })
            .collect()
    }

    #[test]
    fn every_path_that_leads_to_a_module_is_an_import() {
        for (text, imported) in [
            ("use crate::n::N;", "n.rs"),
            ("use crate::n;", "n.rs"),
            ("use crate::n::*;", "n.rs"),
            ("use crate::n::inline::N;", "n.rs"),
            ("use crate::n::{self as other};", "n.rs"),
            ("pub(crate) use super::A;", "a.rs"),
            ("use super::*;", "a.rs"),
            ("use super::sibling::S;", "a/sibling.rs"),
            ("use super::super::n::N;", "n.rs"),
            ("use super::super::Top;", "lib.rs"),
            ("use crate::Top;", "lib.rs"),
            ("use child::C;", "a/b/child.rs"),
            ("pub use self::child::C;", "a/b/child.rs"),
            ("fn f(n: &crate::n::N) {}", "n.rs"),
            ("fn f() { super::sibling::s() }", "a/sibling.rs"),
            ("fn f() { child::c() }", "a/b/child.rs"),
            ("fn f() { match 1 { crate::n::ONE => {} _ => {} } }", "n.rs"),
            ("fn f<T: crate::n::Trait>() {}", "n.rs"),
            ("impl crate::n::Trait for B {}", "n.rs"),
            ("#[crate::n::attribute] fn f() {}", "n.rs"),
            ("fn f() { use crate::n::N; }", "n.rs"),
            ("fn f() { crate::n::log!(1) }", "n.rs"),
            ("mod inline { use super::super::A; }", "a.rs"),
            ("mod inline { use super::child::C; }", "a/b/child.rs"),
        ] {
            assert_eq!(imports(text), [imported], "{text}");
        }
    }

    #[test]
    fn paths_in_macros_are_imports() {
        for text in [
            "fn f() { println!(\"{}\", crate::n::N) }",
            "fn f() { vec![(1, crate::n::N)]; }",
            "macro_rules! n { () => { $crate::n::N } }",
        ] {
            assert_eq!(imports(text), ["n.rs"], "{text}");
        }
        for text in ["fn f() { m!(a:&b, a: b, a::<B>(), crate, n) }", "fn f() { m!(\"crate::n::N\") }"] {
            assert!(imports(text).is_empty(), "{text}");
        }
    }

    #[test]
    fn a_module_known_by_another_name_is_followed() {
        for text in [
            "use crate::a as other; fn f() { other::sibling::s() }",
            "use super::super::{a as other}; type S = other::sibling::S;",
        ] {
            assert_eq!(imports(text), ["a/sibling.rs", "a.rs"], "{text}");
        }
        assert_eq!(imports("use super::sibling; fn f() { sibling::s() }"), ["a/sibling.rs"]);
    }

    #[test]
    fn what_names_no_module_is_elsewhere_or_nothing() {
        assert_eq!(imports("use tonic::Status; fn f() { tonic_health::f(); }"), ["tonic", "tonic_health"]);
        assert_eq!(imports("use ::n::N;"), ["n"]);
        assert_eq!(imports("fn f() { Kind::One }"), ["Kind"]);
        for text in [
            "// crate::n::N",
            "/// [`crate::n::N`]\nfn f() {}",
            "pub(super) fn f() {}",
            "pub(in crate::a) fn f() {}",
            "fn f() { let n = 3; n }",
            "fn f() { self::g() } fn g() {}",
        ] {
            assert!(imports(text).is_empty(), "{text}");
        }
    }

    #[test]
    fn tests_are_marked() {
        let text = "#[cfg(test)] mod tests { use crate::n::N; } #[cfg(not(test))] use crate::n::N;";
        let crates = crates_of(&[("src/lib.rs", "mod n; mod b;"), ("src/n.rs", ""), ("src/b.rs", text)]);
        let marks = crates[0].imports[Path::new("src/b.rs")].iter().map(|import| import.for_tests).collect::<Vec<_>>();
        assert_eq!(marks, [false, true]);
    }

    #[test]
    fn every_file_that_is_no_module_is_a_crate() {
        let crates = crates_of(&[
            ("src/lib.rs", "mod a;"),
            ("src/a.rs", "mod deep;"),
            ("src/a/deep/mod.rs", "use super::A;"),
            ("src/cli/main.rs", "mod a; use a::A;"),
            ("src/cli/a.rs", ""),
            ("tests/it.rs", "mod support; use support::S;"),
            ("tests/support.rs", "#[path = \"../src/a.rs\"] mod a;"),
        ]);
        let files =
            crates.iter().map(|krate| krate.imports.keys().map(|file| file.display().to_string()).collect::<Vec<_>>());
        assert_eq!(
            files.collect::<Vec<_>>(),
            [
                vec!["src/cli/a.rs", "src/cli/main.rs"],
                vec!["src/a/deep/mod.rs", "src/a.rs", "src/lib.rs"],
                vec!["src/a/deep/mod.rs", "src/a.rs", "tests/it.rs", "tests/support.rs"],
            ]
        );
    }

    #[test]
    fn a_module_without_a_file_is_an_error() {
        let error = crates(&Files::from([("src/lib.rs".into(), "mod a;".into())])).unwrap_err();
        assert_eq!(error.to_string(), "src/lib.rs declares a module a that has no file");
    }
}
