//! A guide that shows source code: the blocks behind `<!-- file:region -->` are that code, word for word.
//!
//! ```text
//! <!-- src/main.rs:workflow -->      a comment that names a file, and a region of it where not all is shown
//! ```rust                           the block right behind it
//! ```
//!
//! A region of a Rust file stands between `// region: workflow` and `// endregion`.

use std::fs;
use std::path::Path;

use crate::update;

/// Checks every block of a guide that names its source; files are named from the guide's directory.
///
/// # Panics
/// When a block differs from its source, or its source is not there.
pub fn shows_the_source(guide: &Path) {
    let text = fs::read_to_string(guide).unwrap_or_else(|error| panic!("{}: {error}", guide.display()));
    let directory = guide.parent().expect("a file lies in a directory");
    let fresh = included(&text, |name| read(directory, name));
    if fresh != text {
        let other = text.lines().zip(fresh.lines()).find(|(was, is)| was != is);
        update(guide, &fresh, &format!("first difference (shown, in the source): {other:?}"));
    }
}

/// The guide with each block replaced by what its comment names.
fn included(text: &str, read: impl Fn(&str) -> String) -> String {
    let mut fresh = String::with_capacity(text.len());
    let mut lines = text.lines().peekable();
    while let Some(line) = lines.next() {
        fresh.push_str(line);
        fresh.push('\n');
        let Some(name) = line.strip_prefix("<!-- ").and_then(|line| line.strip_suffix(" -->")) else {
            continue;
        };
        let Some(fence) = lines.next_if(|line| line.starts_with("```")) else { continue };
        for line in [fence, read(name).trim_end(), "```"] {
            fresh.push_str(line);
            fresh.push('\n');
        }
        lines.by_ref().find(|line| *line == "```");
    }
    fresh
}

fn read(directory: &Path, name: &str) -> String {
    let (file, region) = name.split_once(':').map_or((name, None), |(file, region)| (file, Some(region)));
    let text = fs::read_to_string(directory.join(file)).unwrap_or_else(|error| panic!("{file}: {error}"));
    match region {
        Some(region) => region_of(&text, region).unwrap_or_else(|| panic!("{file} has no region {region:?}")),
        None => text.lines().filter(|line| !is_mark(line)).collect::<Vec<_>>().join("\n"),
    }
}

fn region_of(text: &str, region: &str) -> Option<String> {
    let begin = format!("// region: {region}");
    let mut lines = text.lines().skip_while(|line| line.trim() != begin);
    lines.next()?;
    let lines: Vec<&str> = lines.take_while(|line| line.trim() != "// endregion").collect();
    let full = lines.iter().filter(|line| !line.trim().is_empty());
    let indent = full.map(|line| line.len() - line.trim_start().len()).min().unwrap_or(0);
    let lines = lines.iter().map(|line| line.get(indent..).unwrap_or_default());
    Some(lines.collect::<Vec<_>>().join("\n"))
}

fn is_mark(line: &str) -> bool {
    line.trim().starts_with("// region: ") || line.trim() == "// endregion"
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_block_becomes_what_its_comment_names() {
        let guide = "# Title\n<!-- a.rs:x -->\n```rust\nold\n```\n<!-- a remark -->\nprose\n```sh\nls\n```\n";
        let source = "fn a() {\n    // region: x\n    let one = 1;\n\n    if one {\n        two();\n    }\n    // endregion\n}\n";
        let fresh = included(guide, |name| region_of(source, name.strip_prefix("a.rs:").unwrap()).unwrap());
        assert_eq!(fresh, guide.replace("old", "let one = 1;\n\nif one {\n    two();\n}"));
        assert_eq!(region_of(source, "y"), None);
    }
}
