//! No instruction above x86-64-v1 anywhere in the library: older machines would stop at it.

use iced_x86::{CpuidFeature, Decoder, DecoderOptions, Instruction};

use super::image::Image;
use super::path::is_padding;

/// Mnemonics allowed although above the baseline, each with its reason. None so far.
const ALLOWANCE: &[iced_x86::Mnemonic] = &[];

/// Counts the instructions of all code and describes each that is above the baseline.
pub fn scan(image: &Image) -> (usize, Vec<String>) {
    let mut count = 0;
    let mut faults = Vec::new();
    for code in &image.code {
        // `rep bsf` is what compilers write where either reading gives the same result; a machine
        // without BMI1 runs it as `bsf`, so it is decoded as that.
        let options = DecoderOptions::NO_MPFX_0FBC;
        let mut decoder = Decoder::with_ip(64, &code.bytes, code.address, options);
        let mut instruction = Instruction::default();
        while decoder.can_decode() {
            decoder.decode_out(&mut instruction);
            count += 1;
            if let Some(fault) = fault(&instruction) {
                let place = image.name_of(instruction.ip());
                faults.push(format!("{place}: {fault}"));
            }
        }
    }
    (count, faults)
}

fn fault(instruction: &Instruction) -> Option<String> {
    if instruction.is_invalid() {
        return Some("bytes that are no instruction".into());
    }
    if is_padding(instruction) || ALLOWANCE.contains(&instruction.mnemonic()) {
        return None;
    }
    let above: Vec<String> = instruction
        .cpuid_features()
        .iter()
        .filter(|feature| !is_baseline(**feature))
        .map(|feature| format!("{feature:?}"))
        .collect();
    (!above.is_empty()).then(|| {
        format!(
            "`{instruction}` needs {}, which x86-64-v1 does not have",
            above.join(" and ")
        )
    })
}

fn is_baseline(feature: CpuidFeature) -> bool {
    use CpuidFeature as F;
    matches!(
        feature,
        F::INTEL8086
            | F::INTEL186
            | F::INTEL286
            | F::INTEL386
            | F::INTEL486
            | F::X64
            | F::CPUID
            | F::FPU
            | F::FPU287
            | F::FPU387
            | F::CMOV
            | F::CX8
            | F::FXSR
            | F::MMX
            | F::SSE
            | F::SSE2
            | F::TSC
            | F::SYSCALL
            | F::MULTIBYTENOP
            | F::PAUSE
            // endbr64 is a no-op where it is not known.
            | F::CET_IBT
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use iced_x86::code_asm::*;

    fn scanned(
        write: impl FnOnce(&mut CodeAssembler) -> Result<(), iced_x86::IcedError>,
    ) -> Vec<String> {
        let mut assembler = CodeAssembler::new(64).expect("assembler");
        write(&mut assembler).expect("instructions");
        let bytes = assembler.assemble(0x1000).expect("code");
        scan(&Image::of_code(0x1000, bytes, &[])).1
    }

    #[test]
    fn the_baseline_passes() {
        let faults = scanned(|a| {
            a.endbr64()?;
            a.movaps(xmm0, xmmword_ptr(rdi))?;
            a.movdqu(xmmword_ptr(rsi), xmm0)?;
            a.rep().movsb()?;
            a.cmove(rax, rcx)?;
            a.lock().cmpxchg8b(qword_ptr(rdi))?;
            a.bsf(rax, rcx)?;
            a.pause()?;
            a.prefetcht0(byte_ptr(rdi))?;
            a.nop_1(dword_ptr(rax))?;
            a.ret()
        });
        assert_eq!(faults, Vec::<String>::new());
    }

    #[test]
    fn a_compilers_rep_bsf_passes() {
        // rep bsf eax, ecx: the same bytes as tzcnt eax, ecx
        let image = Image::of_code(0x1000, vec![0xf3, 0x0f, 0xbc, 0xc1, 0xc3], &[]);
        assert_eq!(scan(&image), (2, vec![]));
    }

    #[test]
    fn newer_instructions_are_named_with_their_feature() {
        let faults = scanned(|a| {
            a.popcnt(rax, rcx)?;
            a.lzcnt(rax, rcx)?;
            a.vmovaps(ymm0, ymmword_ptr(rdi))?;
            a.lock().cmpxchg16b(xmmword_ptr(rdi))?;
            a.pshufb(xmm0, xmm1)?;
            a.mulx(rax, rcx, rdx)
        });
        let features = ["POPCNT", "LZCNT", "AVX", "CMPXCHG16B", "SSSE3", "BMI2"];
        assert_eq!(faults.len(), features.len(), "{faults:?}");
        for (fault, feature) in faults.iter().zip(features) {
            assert!(fault.contains(feature), "{fault}");
        }
    }
}
