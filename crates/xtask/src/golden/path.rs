//! Following the hot path of a function and counting what it does.

use std::collections::BTreeSet;
use std::fmt;

use anyhow::{Context, Result, bail};
use iced_x86::{
    Decoder, DecoderOptions, FlowControl, Instruction, InstructionInfoFactory, Mnemonic, OpAccess,
};

use super::image::Image;

/// A path longer than this is not a hot path.
const LIMIT: usize = 200;

/// What a call of a function costs on its hot path.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    pub instructions: usize,
    pub loads: usize,
    pub stores: usize,
    pub branches: usize,
}

impl Counts {
    /// One line for each count above its budget.
    pub fn over(&self, budget: &Self, name: &str) -> Vec<String> {
        [
            ("instructions", self.instructions, budget.instructions),
            ("loads", self.loads, budget.loads),
            ("stores", self.stores, budget.stores),
            ("conditional branches", self.branches, budget.branches),
        ]
        .into_iter()
        .filter(|(_, count, limit)| count > limit)
        .map(|(what, count, limit)| format!("{name}: {count} {what}, budget {limit}"))
        .collect()
    }
}

impl fmt::Display for Counts {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        write!(
            f,
            "{} instructions, {} loads, {} stores, {} conditional branches",
            self.instructions, self.loads, self.stores, self.branches
        )
    }
}

/// One instruction of a path, and whether the path leaves it by its branch.
pub struct Step {
    pub instruction: Instruction,
    pub follows: bool,
}

/// The instructions from entry to return.
pub struct HotPath {
    pub steps: Vec<Step>,
}

impl HotPath {
    pub fn counts(&self) -> Counts {
        let mut info = InstructionInfoFactory::new();
        let mut counts = Counts::default();
        for Step { instruction, .. } in &self.steps {
            counts.instructions += 1;
            match instruction.flow_control() {
                // Every function pays its return; the address it pops is not a load of its own.
                FlowControl::Return => continue,
                FlowControl::ConditionalBranch => counts.branches += 1,
                _ => {}
            }
            for memory in info.info(instruction).used_memory() {
                let (loads, stores) = match memory.access() {
                    OpAccess::Read | OpAccess::CondRead => (1, 0),
                    OpAccess::Write | OpAccess::CondWrite => (0, 1),
                    OpAccess::ReadWrite | OpAccess::ReadCondWrite => (1, 1),
                    OpAccess::None | OpAccess::NoMemAccess => (0, 0),
                };
                counts.loads += loads;
                counts.stores += stores;
            }
        }
        counts
    }
}

/// Follows the path of a function; `taken` holds the indices of the conditional branches it takes.
pub fn follow(image: &Image, entry: u64, taken: &[usize]) -> Result<HotPath> {
    let mut steps = Vec::new();
    let mut seen = BTreeSet::new();
    let mut branches = 0;
    let mut at = entry;
    loop {
        let instruction = decode(image, at)?;
        if instruction.is_invalid() {
            bail!("bytes at {at:#x} are no instruction");
        }
        if !seen.insert(at) {
            bail!("the path comes back to {at:#x}: a loop is no hot path");
        }
        if steps.len() == LIMIT {
            bail!("no return within {LIMIT} instructions");
        }
        let flow = instruction.flow_control();
        let mut follows = false;
        match flow {
            FlowControl::Next => {}
            FlowControl::UnconditionalBranch => follows = true,
            FlowControl::ConditionalBranch => {
                follows = taken.contains(&branches);
                branches += 1;
            }
            FlowControl::Return => {}
            _ => bail!(
                "the path meets `{:?}` at {at:#x}; a hot path neither calls nor leaves its function",
                instruction.mnemonic()
            ),
        }
        at = if follows {
            instruction.near_branch_target()
        } else {
            instruction.next_ip()
        };
        steps.push(Step {
            instruction,
            follows,
        });
        if flow == FlowControl::Return {
            break;
        }
    }
    if let Some(index) = taken.iter().find(|index| **index >= branches) {
        bail!("branch {index} is said to be taken, but the path has only {branches}");
    }
    Ok(HotPath { steps })
}

fn decode(image: &Image, at: u64) -> Result<Instruction> {
    let code = image
        .code_at(at)
        .with_context(|| format!("the path leaves the code at {at:#x}"))?;
    Ok(Decoder::with_ip(64, code, at, DecoderOptions::NONE).decode())
}

/// Whether an instruction only fills space.
pub fn is_padding(instruction: &Instruction) -> bool {
    matches!(instruction.mnemonic(), Mnemonic::Nop | Mnemonic::Int3)
}

#[cfg(test)]
mod tests {
    use super::*;
    use iced_x86::code_asm::*;

    const BASE: u64 = 0x1000;

    fn path_of(
        taken: &[usize],
        write: impl FnOnce(&mut CodeAssembler) -> std::result::Result<(), IcedError>,
    ) -> Result<HotPath> {
        let mut assembler = CodeAssembler::new(64).expect("assembler");
        write(&mut assembler).expect("instructions");
        let bytes = assembler.assemble(BASE).expect("code");
        follow(&Image::of_code(BASE, bytes, &[]), BASE, taken)
    }

    use iced_x86::IcedError;

    #[test]
    fn each_kind_of_instruction_counts_as_what_it_does() {
        let path = path_of(&[], |a| {
            let mut cold = a.create_label();
            a.endbr64()?;
            a.lea(rax, qword_ptr(rdi + 7))?; // computes, loads nothing
            a.nop_1(dword_ptr(rax))?; // nor does a long nop
            a.mov(rcx, qword_ptr(rdi + 8))?; // load
            a.test(rcx, rcx)?;
            a.je(cold)?; // branch
            a.cmp(qword_ptr(rdi), rcx)?; // load
            a.jae(cold)?; // branch
            a.add(qword_ptr(rdi), 8)?; // load and store
            a.mov(qword_ptr(rdi + 16), rcx)?; // store
            a.cmove(rax, rcx)?; // no branch
            a.push(rbx)?; // store
            a.pop(rbx)?; // load
            a.ret()?; // neither
            a.set_label(&mut cold)?;
            a.ud2()
        });
        let counts = path.expect("path").counts();
        assert_eq!(
            counts,
            Counts {
                instructions: 14,
                loads: 4,
                stores: 3,
                branches: 2
            }
        );
    }

    #[test]
    fn a_taken_branch_and_a_jump_are_followed() {
        let write = |a: &mut CodeAssembler| {
            let (mut warm, mut done) = (a.create_label(), a.create_label());
            a.test(rdi, rdi)?;
            a.jne(warm)?;
            a.ud2()?;
            a.set_label(&mut warm)?;
            a.jmp(done)?;
            a.int3()?;
            a.set_label(&mut done)?;
            a.ret()
        };
        let path = path_of(&[0], write).expect("path");
        assert_eq!(path.counts().instructions, 4);
        assert_eq!(path.counts().branches, 1);
        assert!(path_of(&[], write).is_err(), "ud2 ends no path");
        assert!(path_of(&[0, 1], write).is_err(), "there is no branch 1");
    }

    #[test]
    fn loops_calls_and_runaway_code_are_no_hot_paths() {
        let looping = path_of(&[], |a| {
            let mut top = a.create_label();
            a.set_label(&mut top)?;
            a.inc(rax)?;
            a.jmp(top)
        });
        assert!(looping.is_err_and(|e| e.to_string().contains("loop")));
        let calling = path_of(&[], |a| {
            a.call(BASE + 64)?;
            a.ret()
        });
        assert!(calling.is_err_and(|e| e.to_string().contains("Call")));
        let endless = path_of(&[], |a| a.inc(rax));
        assert!(endless.is_err_and(|e| e.to_string().contains("leaves the code")));
    }

    #[test]
    fn only_counts_above_the_budget_are_reported() {
        let budget = Counts {
            instructions: 2,
            loads: 1,
            stores: 1,
            branches: 0,
        };
        assert!(budget.over(&budget, "f").is_empty());
        let more = Counts {
            stores: 2,
            ..budget
        };
        assert_eq!(more.over(&budget, "f"), ["f: 2 stores, budget 1"]);
    }
}
