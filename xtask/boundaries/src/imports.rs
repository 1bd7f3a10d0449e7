//! The paths in a source file.
//!
//! Paths are collected wherever Rust allows one: in a `use`, a type, an expression, a pattern or an attribute, and among the
//! tokens of a macro call. Visibilities such as `pub(super)` name no item and are skipped.

use proc_macro2::{Spacing, TokenStream, TokenTree};
use syn::spanned::Spanned;
use syn::visit::{self, Visit};
use syn::{Attribute, ImplItem, Item, ItemExternCrate, ItemMod, ItemUse, Macro, Meta, Path, UseTree, Visibility};

/// A path as it is written, before it is resolved.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Written {
    /// The inline modules around the path, outermost first.
    pub(crate) within: Vec<String>,
    /// Whether it begins with `::`, and so with another crate.
    pub(crate) global: bool,
    /// The names between the `::`.
    pub(crate) segments: Vec<String>,
    /// The name by which a `use` imports it.
    pub(crate) known_as: Option<String>,
    /// Whether it is compiled for tests only.
    pub(crate) for_tests: bool,
    /// The line in the file.
    pub(crate) line: usize,
}

/// A module that has a file of its own.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Declared {
    /// The inline modules around the declaration, outermost first.
    pub(crate) within: Vec<String>,
    pub(crate) name: String,
    /// The value of its `#[path]` attribute.
    pub(crate) path: Option<String>,
    pub(crate) for_tests: bool,
}

/// The paths and modules in a source file.
#[derive(Debug, Default)]
pub(crate) struct Source {
    pub(crate) paths: Vec<Written>,
    pub(crate) declared: Vec<Declared>,
    /// The inline modules, each as its names, outermost first.
    pub(crate) inline: Vec<Vec<String>>,
    within: Vec<String>,
    for_tests: bool,
}

impl Source {
    /// Reads the text of a source file.
    pub(crate) fn parse(text: &str) -> syn::Result<Self> {
        let file = syn::parse_file(text)?;
        let mut source = Self { for_tests: is_for_tests(&file.attrs), ..Self::default() };
        source.visit_file(&file);
        Ok(source)
    }

    fn add(&mut self, global: bool, segments: Vec<String>, known_as: Option<String>, line: usize) {
        let (within, for_tests) = (self.within.clone(), self.for_tests);
        self.paths.push(Written { within, global, segments, known_as, for_tests, line });
    }

    /// Visits an item with these attributes.
    fn visit_with(&mut self, attributes: &[Attribute], visit: impl FnOnce(&mut Self)) {
        let around = self.for_tests;
        self.for_tests |= is_for_tests(attributes);
        visit(self);
        self.for_tests = around;
    }

    /// Collects every path of a `use` tree, after the segments `before` it.
    fn add_use(&mut self, global: bool, before: &[String], tree: &UseTree) {
        let line = tree.span().start().line;
        let followed_by = |name: &dyn ToString| [before, &[name.to_string()]].concat();
        match tree {
            UseTree::Path(path) => self.add_use(global, &followed_by(&path.ident), &path.tree),
            UseTree::Group(group) => group.items.iter().for_each(|tree| self.add_use(global, before, tree)),
            UseTree::Glob(_) => self.add(global, before.to_vec(), None, line),
            UseTree::Name(name) if name.ident == "self" => {
                self.add(global, before.to_vec(), before.last().cloned(), line);
            }
            UseTree::Name(name) => self.add(global, followed_by(&name.ident), Some(name.ident.to_string()), line),
            UseTree::Rename(renamed) => {
                let segments = if renamed.ident == "self" { before.to_vec() } else { followed_by(&renamed.ident) };
                self.add(global, segments, Some(renamed.rename.to_string()), line);
            }
        }
    }

    /// Collects what looks like a path among the tokens of a macro call.
    fn add_tokens(&mut self, tokens: TokenStream) {
        let mut tokens = tokens.into_iter().peekable();
        let mut path: Option<(bool, Vec<String>, usize)> = None;
        let mut colons = false;
        while let Some(token) = tokens.next() {
            match token {
                TokenTree::Ident(name) => match &mut path {
                    Some((_, segments, _)) if colons => segments.push(name.to_string()),
                    _ => {
                        self.add_words(path.take());
                        path = Some((colons, vec![name.to_string()], name.span().start().line));
                    }
                },
                TokenTree::Punct(colon) if colon.as_char() == ':' && colon.spacing() == Spacing::Joint => {
                    colons = tokens
                        .next_if(|next| matches!(next, TokenTree::Punct(next) if next.as_char() == ':'))
                        .is_some();
                    if !colons {
                        self.add_words(path.take());
                    }
                    continue;
                }
                TokenTree::Group(group) => {
                    self.add_words(path.take());
                    self.add_tokens(group.stream());
                }
                TokenTree::Punct(_) | TokenTree::Literal(_) => self.add_words(path.take()),
            }
            colons = false;
        }
        self.add_words(path);
    }

    /// Collects a path of a macro call, unless it is a single name, which is rarely a path.
    fn add_words(&mut self, path: Option<(bool, Vec<String>, usize)>) {
        if let Some((global, segments, line)) = path
            && segments.len() > 1
        {
            self.add(global, segments, None, line);
        }
    }
}

impl<'ast> Visit<'ast> for Source {
    fn visit_item(&mut self, item: &'ast Item) {
        self.visit_with(attributes(item), |source| visit::visit_item(source, item));
    }

    fn visit_impl_item(&mut self, item: &'ast ImplItem) {
        let attributes = if let ImplItem::Fn(method) = item { &method.attrs[..] } else { &[] };
        self.visit_with(attributes, |source| visit::visit_impl_item(source, item));
    }

    fn visit_item_mod(&mut self, module: &'ast ItemMod) {
        let (name, within) = (module.ident.to_string(), self.within.clone());
        let Some((_, items)) = &module.content else {
            let path = module.attrs.iter().find_map(path_attribute);
            return self.declared.push(Declared { within, name, path, for_tests: self.for_tests });
        };
        self.within.push(name);
        self.inline.push(self.within.clone());
        items.iter().for_each(|item| self.visit_item(item));
        self.within = within;
    }

    fn visit_item_use(&mut self, item: &'ast ItemUse) {
        self.add_use(item.leading_colon.is_some(), &[], &item.tree);
    }

    fn visit_item_extern_crate(&mut self, item: &'ast ItemExternCrate) {
        self.add(true, vec![item.ident.to_string()], None, item.ident.span().start().line);
    }

    fn visit_path(&mut self, path: &'ast Path) {
        // A single name is an item of this module, or one that a `use` imports.
        if path.segments.len() > 1 || path.leading_colon.is_some() {
            let segments = path.segments.iter().map(|segment| segment.ident.to_string()).collect();
            self.add(path.leading_colon.is_some(), segments, None, path.span().start().line);
        }
        visit::visit_path(self, path);
    }

    fn visit_macro(&mut self, invoked: &'ast Macro) {
        self.visit_path(&invoked.path);
        self.add_tokens(invoked.tokens.clone());
    }

    fn visit_visibility(&mut self, _: &'ast Visibility) {}
}

/// Returns whether an item is compiled for tests only, by `#[cfg(test)]` or `#[cfg(all(test, ..))]`.
fn is_for_tests(attributes: &[Attribute]) -> bool {
    fn requires_test(meta: &Meta) -> bool {
        match meta {
            Meta::Path(path) => path.is_ident("test"),
            Meta::List(list) if list.path.is_ident("all") => {
                let parts = list.parse_args_with(syn::punctuated::Punctuated::<Meta, syn::Token![,]>::parse_terminated);
                parts.is_ok_and(|parts| parts.iter().any(requires_test))
            }
            Meta::List(_) | Meta::NameValue(_) => false,
        }
    }
    attributes.iter().any(|attribute| {
        attribute.path().is_ident("cfg") && attribute.parse_args::<Meta>().is_ok_and(|meta| requires_test(&meta))
    })
}

/// The value of `#[path = ".."]`.
fn path_attribute(attribute: &Attribute) -> Option<String> {
    match &attribute.meta {
        Meta::NameValue(pair) if pair.path.is_ident("path") => match &pair.value {
            syn::Expr::Lit(syn::ExprLit { lit: syn::Lit::Str(path), .. }) => Some(path.value()),
            _ => None,
        },
        _ => None,
    }
}

fn attributes(item: &Item) -> &[Attribute] {
    match item {
        Item::Const(item) => &item.attrs,
        Item::Enum(item) => &item.attrs,
        Item::Fn(item) => &item.attrs,
        Item::Impl(item) => &item.attrs,
        Item::Mod(item) => &item.attrs,
        Item::Static(item) => &item.attrs,
        Item::Struct(item) => &item.attrs,
        Item::Trait(item) => &item.attrs,
        Item::Type(item) => &item.attrs,
        Item::Use(item) => &item.attrs,
        _ => &[],
    }
}
