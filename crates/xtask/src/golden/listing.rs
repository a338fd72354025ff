//! A hot path as text that does not change when the linker moves things.

use std::fmt::Write;

use iced_x86::{FlowControl, Formatter, Instruction, IntelFormatter};
use similar::TextDiff;

use super::image::Image;
use super::path::{HotPath, Step};

/// The listing of a path, its counts in the last line.
pub fn render(name: &str, image: &Image, path: &HotPath) -> String {
    let mut formatter = IntelFormatter::new();
    formatter.options_mut().set_rip_relative_addresses(true);
    let mut text = format!("{name}\n");
    for step in &path.steps {
        let line = match step.instruction.flow_control() {
            FlowControl::UnconditionalBranch => "jmp (followed)".to_string(),
            FlowControl::ConditionalBranch => branch(step),
            _ => plain(&step.instruction, image, &mut formatter),
        };
        writeln!(text, "    {line}").expect("writing to a string");
    }
    writeln!(text, "{}", path.counts()).expect("writing to a string");
    text
}

/// An instruction with a name in place of the distance to data of the library.
fn plain(instruction: &Instruction, image: &Image, formatter: &mut IntelFormatter) -> String {
    let mut line = String::new();
    formatter.format(instruction, &mut line);
    if !instruction.is_ip_rel_memory_operand() {
        return line;
    }
    let name = image.name_of(instruction.ip_rel_memory_address());
    let named = line.split_once("[rip").and_then(|(before, rest)| {
        let (_, after) = rest.split_once(']')?;
        Some(format!("{before}[rip+{name}]{after}"))
    });
    named.unwrap_or(line)
}

/// A branch with the kind of its target instead of the address.
fn branch(step: &Step) -> String {
    let target = if step.follows { "hot" } else { "cold" };
    let mnemonic = format!("{:?}", step.instruction.mnemonic()).to_lowercase();
    format!("{mnemonic} {target}")
}

/// What differs between a committed listing and a new one, or nothing.
pub fn difference(committed: &str, built: &str) -> Option<String> {
    if committed == built {
        return None;
    }
    let diff = TextDiff::from_lines(committed, built);
    Some(diff.unified_diff().context_radius(3).to_string())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::golden::path::follow;
    use iced_x86::code_asm::*;
    use iced_x86::{Code, IcedError, MemoryOperand, Register};

    fn fixture(base: u64, padding: usize) -> Result<String, IcedError> {
        let mut a = CodeAssembler::new(64)?;
        let mut cold = a.create_label();
        let mut done = a.create_label();
        for (register, address) in [(Register::RAX, 0x9000), (Register::RCX, 0xa008)] {
            let memory = MemoryOperand::with_base_displ(Register::RIP, address);
            a.add_instruction(Instruction::with2(Code::Mov_r64_rm64, register, memory)?)?;
        }
        a.test(rax, rax)?;
        a.je(cold)?;
        a.jmp(done)?;
        for _ in 0..padding {
            a.int3()?;
        }
        a.set_label(&mut done)?;
        a.mov(rdx, qword_ptr(rdi + 0x18))?;
        a.ret()?;
        a.set_label(&mut cold)?;
        a.ud2()?;
        let image = Image::of_code(base, a.assemble(base)?, &[]);
        let path = follow(&image, base, &[]).expect("path");
        Ok(render("probe", &image, &path))
    }

    #[test]
    fn a_listing_names_data_and_targets_and_ends_with_the_counts() {
        assert_eq!(
            fixture(0x1000, 0).expect("assembled"),
            "probe\n\
             \x20   mov rax,[rip+table]\n\
             \x20   mov rcx,[rip+.got]\n\
             \x20   test rax,rax\n\
             \x20   je cold\n\
             \x20   jmp (followed)\n\
             \x20   mov rdx,[rdi+18h]\n\
             \x20   ret\n\
             7 instructions, 3 loads, 0 stores, 1 conditional branches\n"
        );
    }

    #[test]
    fn a_listing_does_not_depend_on_the_layout() {
        assert_eq!(
            fixture(0x1000, 0).expect("assembled"),
            fixture(0x4230, 40).expect("assembled")
        );
    }

    #[test]
    fn a_difference_shows_both_lines() {
        assert_eq!(difference("a\nb\n", "a\nb\n"), None);
        let shown = difference("a\nb\n", "a\nc\n").expect("they differ");
        assert!(shown.contains("-b\n+c\n"), "{shown}");
    }
}
