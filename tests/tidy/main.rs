//! The house rules that a program can check, as tests.
//!
//! Every rule is a function from the tree's files to a list of problems, each with its place and what to do
//! about it; one test runs it over the tree, another shows that it finds a planted violation. The scanner
//! is a brace counter over text without comments and literals, not a parser: it is right for formatted code,
//! which `cargo fmt --check` makes sure of.

mod agreement;
mod form;
mod imports;
mod scan;
mod tree;
mod words;

/// Fails with every problem on a line of its own.
fn none(problems: &[String]) {
    assert!(problems.is_empty(), "\n  {}\n", problems.join("\n  "));
}
