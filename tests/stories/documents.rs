//! The documents: their lengths, their links, and the commands of the two READMEs. Starts no server.

use std::{
    collections::HashSet,
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use ondol_tests::{TestResult, handlers::workspace};

/// The most lines of a README, and of any other page.
const README_LINES_MAX: usize = 120;
const PAGE_LINES_MAX: usize = 250;

/// Every page, with its text.
fn pages() -> TestResult<Vec<(PathBuf, String)>> {
    let root = workspace();
    let mut paths = vec![root.join("README.md"), root.join("README.ko.md")];
    for directory in ["docs", "docs/decisions", "deploy/cluster", "deploy/gateways/nginx", "deploy/gateways/spring"] {
        let files = fs::read_dir(root.join(directory))?.collect::<Result<Vec<_>, _>>()?;
        paths.extend(files.iter().map(|file| file.path()).filter(|path| path.extension().is_some_and(|it| it == "md")));
    }
    paths.into_iter().map(|path| Ok((path.clone(), fs::read_to_string(path)?))).collect()
}

/// The targets of a page's links within the repository. Pictures are not among them.
fn links(page: &str) -> impl Iterator<Item = &str> {
    let targets = page.split("](").skip(1).filter_map(|rest| rest.split(')').next());
    targets.filter(|target| !target.starts_with("http") && !target.ends_with(".png"))
}

/// The anchors of a page's headings, as forges make them.
fn anchors(page: &str) -> HashSet<String> {
    let headings = page.lines().filter(|line| line.starts_with('#')).map(|line| line.trim_start_matches('#').trim());
    let kept = |c: &char| c.is_alphanumeric() || matches!(c, ' ' | '-' | '_');
    headings.map(|heading| heading.to_lowercase().chars().filter(kept).collect::<String>().replace(' ', "-")).collect()
}

/// The code of a page, without comments.
fn code(page: &str) -> Vec<String> {
    let blocks = page.split("```").skip(1).step_by(2);
    let bare = |line: &str| line.split(" # ").next().unwrap_or_default().trim_end().to_owned();
    blocks.flat_map(|block| block.lines().map(bare).collect::<Vec<_>>()).collect()
}

#[test]
fn no_page_is_too_long() -> TestResult {
    for (path, page) in pages()? {
        let is_readme = path.file_name().is_some_and(|name| name.to_string_lossy().starts_with("README"));
        let max = if is_readme { README_LINES_MAX } else { PAGE_LINES_MAX };
        assert!(page.lines().count() <= max, "{} has more than {max} lines", path.display());
    }
    Ok(())
}

#[test]
fn every_link_leads_to_a_file_and_its_heading() -> TestResult {
    let mut count = 0;
    for (path, page) in pages()? {
        for link in links(&page) {
            let (file, anchor) = link.split_once('#').unwrap_or((link, ""));
            let target = if file.is_empty() { path.clone() } else { path.parent().unwrap_or(Path::new("")).join(file) };
            assert!(target.exists(), "{}: {link}", path.display());
            if !anchor.is_empty() {
                assert!(anchors(&fs::read_to_string(target)?).contains(anchor), "{}: {link}", path.display());
            }
            count += 1;
        }
    }
    assert!(count > 20, "{count} links are too few");
    Ok(())
}

#[test]
fn both_readmes_have_the_same_commands() -> TestResult {
    let read = |name: &str| fs::read_to_string(workspace().join(name)).map(|page| code(&page));
    let (english, korean) = (read("README.md")?, read("README.ko.md")?);
    assert!(english.iter().any(|line| line == "make run"), "{english:#?}");
    assert_eq!(english, korean);
    Ok(())
}

#[test]
fn the_pages_show_what_ondol_new_writes() -> TestResult {
    for (page, world) in [("handlers", "rooms"), ("middleware", "middleware")] {
        let page = fs::read_to_string(workspace().join(format!("docs/{page}.md")))?;
        let template = fs::read_to_string(workspace().join(format!("templates/rust/{world}/src/lib.rs")))?;
        let blocks: Vec<_> = page.split("```rust\n").skip(1).filter_map(|rest| rest.split("```").next()).collect();
        assert!(!blocks.is_empty());
        for block in blocks {
            assert!(template.contains(block), "this is not in the template of {world}:\n{block}");
        }
    }
    Ok(())
}

/// The service has a socket unit that would start it again, and the package has its handlers in one place.
#[test]
fn commands_of_the_pages_fit_the_package() -> TestResult {
    let manifest = fs::read_to_string(workspace().join("host/ondol/Cargo.toml"))?;
    assert!(manifest.contains("\"usr/lib/ondol/handlers/\""), "the handlers are in another directory");
    let mut stops = 0;
    for (path, page) in pages()? {
        for rest in page.split("systemctl stop ").skip(1) {
            assert!(rest.starts_with("ondol.socket ondol"), "{}: the socket would start it again", path.display());
            stops += 1;
        }
        for rest in page.split("--handlers /").skip(1) {
            assert!(rest.starts_with("usr/lib/ondol/handlers"), "{}: --handlers /{rest:.40}", path.display());
        }
    }
    assert!(stops >= 3, "{stops} are too few");
    Ok(())
}

/// The README promises a swap in three commands. The host contains the handlers' sources, so to build it takes minutes.
#[test]
fn a_changed_handler_does_not_build_the_host_again() -> TestResult {
    let planned = Command::new("make").args(["--dry-run", "handlers"]).current_dir(workspace()).output()?;
    let planned = String::from_utf8(planned.stdout)?;
    assert!(planned.contains("-p ondol-events"), "{planned}");
    assert!(!planned.contains("-p ondol\n"), "{planned}");
    Ok(())
}
