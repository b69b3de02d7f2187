//! Links between guides: the file must be there, and the heading in it.

use std::fs;
use std::path::{Path, PathBuf};

/// Checks the relative links of all guides of the repository: `*.md` at its root and below `docs`,
/// `tutorials` and `examples`. Links to other places of the web are left alone.
///
/// # Panics
/// With every link that leads nowhere.
pub fn links_lead_somewhere(root: &Path) {
    let mut guides = files(root, false);
    for directory in ["docs", "tutorials", "examples"] {
        guides.extend(files(&root.join(directory), true));
    }
    assert!(guides.len() >= 8, "the guides are looked for in the wrong place: {}", root.display());
    let broken: Vec<String> = guides.iter().flat_map(|guide| broken_links(guide)).collect();
    assert!(broken.is_empty(), "links that lead nowhere:\n{}", broken.join("\n"));
}

fn broken_links(guide: &Path) -> Vec<String> {
    let text = fs::read_to_string(guide).unwrap_or_else(|error| panic!("{}: {error}", guide.display()));
    let directory = guide.parent().expect("a file lies in a directory");
    let leads_nowhere = |link: &str| {
        let (file, heading) =
            link.split_once('#').map_or((link, None), |(file, heading)| (file, Some(heading)));
        let target = if file.is_empty() { guide.to_owned() } else { directory.join(file) };
        let Some(heading) = heading else { return !target.exists() };
        fs::read_to_string(target).map_or(true, |text| !headings(&text).any(|there| there == heading))
    };
    let links = links(&text);
    links
        .into_iter()
        .filter(|link| leads_nowhere(link))
        .map(|link| format!("{}: {link}", guide.display()))
        .collect()
}

/// The targets of `[text](target)` outside of code blocks, those in this repository.
fn links(text: &str) -> Vec<&str> {
    let outside = prose(text);
    let targets =
        outside.flat_map(|line| line.split("](").skip(1)).filter_map(|rest| Some(rest.split_once(')')?.0));
    targets.filter(|target| !target.contains("://") && !target.starts_with("mailto:")).collect()
}

/// The anchors of the headings, as code hosts make them.
fn headings(text: &str) -> impl Iterator<Item = String> {
    let titles =
        prose(text).filter(|line| line.starts_with('#')).map(|line| line.trim_start_matches('#').trim());
    titles.map(|title| {
        let kept = title.to_lowercase().replace(' ', "-");
        kept.chars().filter(|c| c.is_alphanumeric() || *c == '-' || *c == '_').collect()
    })
}

fn prose(text: &str) -> impl Iterator<Item = &str> {
    let mut in_code = false;
    text.lines().filter(move |line| {
        let is_fence = line.trim_start().starts_with("```");
        in_code ^= is_fence;
        !in_code && !is_fence
    })
}

fn files(directory: &Path, deep: bool) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(directory).into_iter().flatten().flatten() {
        let path = entry.path();
        if path.is_dir() && deep {
            found.extend(files(&path, true));
        } else if path.extension().is_some_and(|extension| extension == "md") {
            found.push(path);
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn links_and_headings_are_found_outside_of_code() {
        let text =
            "# The way of *one* task\nsee [a](b.md#c) and [w](https://w.org)\n```\n[x](y)\n# no\n```\n";
        assert_eq!(links(text), ["b.md#c"]);
        assert_eq!(headings(text).collect::<Vec<_>>(), ["the-way-of-one-task"]);
    }
}
