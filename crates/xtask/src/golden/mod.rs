//! `cargo xtask golden`: the hot paths of libaloof.so, and what boxes of a Rust program become, as committed listings,
//! within their budgets.
//!
//! The hot path of a function is the way of a call that meets no cold case: from its entry, conditional
//! branches not taken (unless [`Hot::taken`] says otherwise), jumps followed, to the return.

mod baseline;
mod image;
mod listing;
mod path;

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use clap::Args;

use self::image::Image;
use self::path::Counts;
use crate::workspace::Workspace;

/// A function whose hot path is held.
struct Hot {
    symbol: &'static str,
    /// Which conditional branches of the path, counted from 0, are taken.
    taken: &'static [usize],
    budget: Counts,
}

/// The budgets of docs/design.md.
const HOT: &[Hot] = &[
    Hot {
        symbol: "malloc",
        taken: &[],
        budget: Counts {
            instructions: 15,
            loads: 5,
            stores: 1,
            branches: 2,
        },
    },
    Hot {
        symbol: "free",
        taken: &[],
        budget: Counts {
            instructions: 19,
            loads: 8,
            stores: 2,
            branches: 3,
        },
    },
];

/// The functions of the example `boxes`. Of `aloof_box_made` nine instructions are the allocation in place, the others
/// the function's frame and return; of `aloof_box_dropped` all but the return are the free.
const HOT_IN_BOXES: &[Hot] = &[
    Hot {
        symbol: "aloof_box_made",
        taken: &[],
        budget: Counts {
            instructions: 9 + 3,
            loads: 3 + 1,
            stores: 1 + 1,
            branches: 2,
        },
    },
    Hot {
        symbol: "aloof_box_dropped",
        taken: &[],
        budget: Counts {
            instructions: 14 + 1,
            loads: 7,
            stores: 2,
            branches: 3,
        },
    },
];

/// Options of `cargo xtask golden`.
#[derive(Args, Default)]
pub struct Options {
    /// Write the listings anew instead of comparing with them
    #[arg(long)]
    bless: bool,
    /// The library to look at, instead of the one of the release build
    #[arg(long, value_name = "PATH")]
    lib: Option<PathBuf>,
}

/// Checks the listings, the budgets and the instruction set of the library.
pub fn command(workspace: &Workspace, options: &Options) -> Result<()> {
    let library = workspace.library_or(options.lib.as_deref())?;
    let data = fs::read(&library).with_context(|| format!("cannot read {}", library.display()))?;
    let image =
        Image::parse(&data).with_context(|| format!("cannot parse {}", library.display()))?;
    let boxes = boxes(workspace)?;
    let folder = workspace.root.join("tests/golden");
    let mut faults = Vec::new();
    let library_paths = HOT.iter().map(|hot| (&image, hot));
    for (image, hot) in library_paths.chain(HOT_IN_BOXES.iter().map(|hot| (&boxes, hot))) {
        match check(image, hot, &folder, options.bless) {
            Ok(found) => faults.extend(found),
            Err(error) => faults.push(format!("{}: {error:#}", hot.symbol)),
        }
    }
    let (scanned, above) = baseline::scan(&image);
    println!("{scanned} instructions in {}", library.display());
    faults.extend(above);
    if !faults.is_empty() {
        bail!("{}", faults.join("\n"));
    }
    Ok(())
}

/// Builds the example `boxes` as an executable that is linked as its users are told to.
fn boxes(workspace: &Workspace) -> Result<Image> {
    let status = workspace
        .cargo()
        .args(["build", "--release", "--package", "aloof"])
        .args(["--example", "boxes", "--features", "local-exec"])
        .status()
        .context("cannot run cargo")?;
    if !status.success() {
        bail!("the example `boxes` does not build");
    }
    let path = workspace.target.join("release/examples/boxes");
    let data = fs::read(&path).with_context(|| format!("cannot read {}", path.display()))?;
    Image::parse(&data).with_context(|| format!("cannot parse {}", path.display()))
}

/// Prints one listing and returns what is wrong with it.
fn check(image: &Image, hot: &Hot, folder: &Path, bless: bool) -> Result<Vec<String>> {
    let entry = image
        .function(hot.symbol)
        .with_context(|| format!("no function `{}` in the library", hot.symbol))?;
    let path = path::follow(image, entry, hot.taken)?;
    let text = listing::render(hot.symbol, image, &path);
    print!("{text}");
    let counts = path.counts();
    println!("budget: {}\n", hot.budget);

    let mut faults = counts.over(&hot.budget, hot.symbol);
    let file = folder.join(format!("{}.txt", hot.symbol));
    if bless {
        fs::create_dir_all(folder).with_context(|| format!("cannot make {}", folder.display()))?;
        fs::write(&file, &text).with_context(|| format!("cannot write {}", file.display()))?;
    } else {
        let committed = fs::read_to_string(&file).unwrap_or_default();
        if let Some(difference) = listing::difference(&committed, &text) {
            faults.push(format!(
                "the hot path of {} is not the one in {} (- committed, + built):\n{difference}\
                 if the change is meant, run `cargo xtask golden --bless` and commit the listing",
                hot.symbol,
                file.display(),
            ));
        }
    }
    Ok(faults)
}

#[cfg(test)]
mod tests {
    use super::*;
    use iced_x86::code_asm::{CodeAssembler, rax, rdi};

    const BASE: u64 = 0x1000;

    fn hot(instructions: usize) -> Hot {
        Hot {
            symbol: "probe",
            taken: &[],
            budget: Counts {
                instructions,
                loads: 1,
                stores: 0,
                branches: 0,
            },
        }
    }

    fn image(displacement: i32) -> Image {
        let mut a = CodeAssembler::new(64).expect("assembler");
        a.mov(rax, iced_x86::code_asm::qword_ptr(rdi + displacement))
            .expect("mov");
        a.ret().expect("ret");
        Image::of_code(BASE, a.assemble(BASE).expect("code"), &[("probe", BASE)])
    }

    #[test]
    fn a_blessed_listing_matches_and_another_path_or_a_tighter_budget_does_not() {
        let folder = tempfile::tempdir().expect("folder");
        let unblessed = check(&image(8), &hot(2), folder.path(), false).expect("check");
        assert_eq!(unblessed.len(), 1, "{unblessed:?}");
        assert!(unblessed[0].contains("--bless"));

        assert!(
            check(&image(8), &hot(2), folder.path(), true)
                .expect("bless")
                .is_empty()
        );
        assert!(
            check(&image(8), &hot(2), folder.path(), false)
                .expect("same")
                .is_empty()
        );

        let other = check(&image(16), &hot(2), folder.path(), false).expect("check");
        assert_eq!(other.len(), 1, "{other:?}");
        assert!(other[0].contains("-    mov rax,[rdi+8]"), "{}", other[0]);
        assert!(other[0].contains("+    mov rax,[rdi+10h]"), "{}", other[0]);

        let over = check(&image(8), &hot(1), folder.path(), false).expect("check");
        assert_eq!(over, ["probe: 2 instructions, budget 1"]);
    }

    #[test]
    fn a_missing_function_is_an_error_that_names_it() {
        let folder = tempfile::tempdir().expect("folder");
        let gone = Hot {
            symbol: "gone",
            ..hot(2)
        };
        let error = check(&image(8), &gone, folder.path(), false).expect_err("no such function");
        assert!(error.to_string().contains("`gone`"));
    }
}
