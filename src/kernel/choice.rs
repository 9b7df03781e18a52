//! Which kernels there are, which of them this machine runs, and what they are made of.

use std::fmt;
use std::str::FromStr;

use super::band::{Activation, Scratch};
use super::conv::{self, Conv, Job, Tiled};
use super::error::{KernelError, KernelErrorKind};
use super::gemm;
use super::isa::{Isa, Layout};
use super::pack::Panels;
use super::planes::Planes;
use super::portable::{Portable, PortableWords};
use super::winograd::WinogradEngine;

/// An implementation of the int8 operations that this machine can run: to hold one is the proof.
///
/// All kernels return the same bytes; they differ in speed. Names: `reference` (the definition, slow),
/// `portable` (plain Rust), `avx2`, `avx512-vnni`, `neon` and `dotprod`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Kernel(Choice);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Choice {
    Reference,
    Portable,
    #[cfg(target_arch = "x86_64")]
    Avx2,
    #[cfg(target_arch = "x86_64")]
    Avx512Vnni,
    #[cfg(any(target_arch = "aarch64", target_arch = "arm"))]
    Neon,
    #[cfg(target_arch = "aarch64")]
    DotProd,
}

/// Every name, also those of other architectures.
const NAMES: [&str; 6] = ["reference", "portable", "avx2", "avx512-vnni", "neon", "dotprod"];

impl Kernel {
    /// The definition of every operation, as plain loops. For tests.
    pub const REFERENCE: Kernel = Kernel(Choice::Reference);

    /// The fastest kernel of this machine.
    pub fn detect() -> Kernel {
        let all = Kernel::available();
        all[all.len() - 1]
    }

    /// The kernels that this machine can run, slowest first.
    pub fn available() -> Vec<Kernel> {
        #[allow(unused_mut, reason = "some architectures add nothing")]
        let mut all = vec![Choice::Reference, Choice::Portable];
        #[cfg(target_arch = "x86_64")]
        {
            if is_x86_feature_detected!("avx2") {
                all.push(Choice::Avx2);
                // All processors with VNNI have the others.
                if is_x86_feature_detected!("avx512f")
                    && is_x86_feature_detected!("avx512bw")
                    && is_x86_feature_detected!("avx512dq")
                    && is_x86_feature_detected!("avx512vl")
                    && is_x86_feature_detected!("avx512vnni")
                {
                    all.push(Choice::Avx512Vnni);
                }
            }
        }
        #[cfg(target_arch = "arm")]
        if super::armv7::has_neon() {
            all.push(Choice::Neon);
        }
        #[cfg(target_arch = "aarch64")]
        {
            if std::arch::is_aarch64_feature_detected!("neon") {
                all.push(Choice::Neon);
                if std::arch::is_aarch64_feature_detected!("dotprod") {
                    all.push(Choice::DotProd);
                }
            }
        }
        all.into_iter().map(Kernel).collect()
    }

    /// The name by which a user chooses it.
    pub fn name(self) -> &'static str {
        match self.0 {
            Choice::Reference => "reference",
            Choice::Portable => "portable",
            #[cfg(target_arch = "x86_64")]
            Choice::Avx2 => "avx2",
            #[cfg(target_arch = "x86_64")]
            Choice::Avx512Vnni => "avx512-vnni",
            #[cfg(any(target_arch = "aarch64", target_arch = "arm"))]
            Choice::Neon => "neon",
            #[cfg(target_arch = "aarch64")]
            Choice::DotProd => "dotprod",
        }
    }

    /// Multiply-accumulates that its multiply instructions do in a cycle of a core that begins two of them
    /// at once (as Zen, recent Intel cores and the Cortex-A76 do; smaller cores begin one): the
    /// peak that loads, additions and requantisation are measured against. 1 for kernels without such
    /// instructions.
    pub fn macs_per_cycle(self) -> f64 {
        match self.0 {
            Choice::Reference | Choice::Portable => 1.0,
            // vpmaddwd: 16 products of 16-bit words.
            #[cfg(target_arch = "x86_64")]
            Choice::Avx2 => 32.0,
            // vpdpbusd on 512 bits: 64 products of bytes.
            #[cfg(target_arch = "x86_64")]
            Choice::Avx512Vnni => 128.0,
            // smull/smlal: 8 products of bytes.
            #[cfg(any(target_arch = "aarch64", target_arch = "arm"))]
            Choice::Neon => 16.0,
            // sdot: 16 products of bytes.
            #[cfg(target_arch = "aarch64")]
            Choice::DotProd => 32.0,
        }
    }

    /// What runs convolutions and products; none for the reference. `extreme` says that some weight
    /// is −128.
    #[cfg_attr(target_arch = "x86_64", allow(unused_variables, reason = "NEON alone asks"))]
    pub(super) fn engine(self, extreme: bool) -> Option<Engine> {
        match self.0 {
            Choice::Reference => None,
            Choice::Portable => Some(Engine::of::<Portable>()),
            #[cfg(target_arch = "x86_64")]
            Choice::Avx2 => Some(Engine {
                words: Some(gemm::word_product::<super::avx2::Avx2>),
                ..Engine::of::<super::avx2::Avx2>()
            }),
            #[cfg(target_arch = "x86_64")]
            Choice::Avx512Vnni => Some(Engine::of::<super::avx512::Vnni>()),
            #[cfg(target_arch = "arm")]
            Choice::Neon if extreme => Some(Engine::of::<Portable>()),
            #[cfg(target_arch = "arm")]
            Choice::Neon => Some(Engine::of::<super::armv7::Neon>()),
            #[cfg(target_arch = "aarch64")]
            Choice::Neon if extreme => Some(Engine::of::<super::aarch64::Neon<1>>()),
            #[cfg(target_arch = "aarch64")]
            Choice::Neon => Some(Engine::of::<super::aarch64::Neon<2>>()),
            #[cfg(target_arch = "aarch64")]
            Choice::DotProd => Some(Engine::of::<super::aarch64::DotProd>()),
        }
    }

    /// What runs 3×3 convolutions by Winograd's method, where that is faster.
    pub(super) fn winograd(self) -> Option<WinogradEngine> {
        match self.0 {
            Choice::Portable => Some(WinogradEngine::of::<PortableWords>()),
            #[cfg(target_arch = "x86_64")]
            Choice::Avx2 => Some(WinogradEngine::of::<super::avx2::Avx2Words>()),
            #[cfg(target_arch = "aarch64")]
            Choice::Neon => Some(WinogradEngine::of::<super::aarch64::NeonWords>()),
            _ => None,
        }
    }

    /// Whether AVX2 may be used: see [`compiled_for`].
    #[cfg(target_arch = "x86_64")]
    pub(super) fn has_avx2(self) -> bool {
        matches!(self.0, Choice::Avx2 | Choice::Avx512Vnni)
    }

    /// Whether AVX-512 may be used.
    #[cfg(target_arch = "x86_64")]
    pub(super) fn has_avx512(self) -> bool {
        self.0 == Choice::Avx512Vnni
    }
}

/// Calls `body(arguments)`, plain loops marked `inline(always)`, compiled for what `kernel` may use beyond
/// the target's own instruction set.
macro_rules! compiled_for {
    ($kernel:expr, $body:path, $($argument:ident: $type:ty),*) => {{
        #[cfg(target_arch = "x86_64")]
        if $kernel.has_avx512() {
            #[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl")]
            fn avx512($($argument: $type),*) {
                $body($($argument),*)
            }
            // SAFETY: the kernel proves that the machine has these.
            return unsafe { avx512($($argument),*) };
        }
        #[cfg(target_arch = "x86_64")]
        if $kernel.has_avx2() {
            #[target_feature(enable = "avx2")]
            fn avx2($($argument: $type),*) {
                $body($($argument),*)
            }
            // SAFETY: the kernel proves that the machine has AVX2.
            return unsafe { avx2($($argument),*) };
        }
        #[cfg(not(target_arch = "x86_64"))]
        let _ = $kernel;
        $body($($argument),*)
    }};
}
pub(super) use compiled_for;

impl fmt::Display for Kernel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Kernel {
    type Err = KernelError;

    /// Refuses an unknown name and a kernel that this machine cannot run.
    fn from_str(name: &str) -> Result<Kernel, KernelError> {
        let all = Kernel::available();
        all.iter().copied().find(|kernel| kernel.name() == name).ok_or_else(|| {
            let why = if NAMES.contains(&name) {
                format!("this machine cannot run the kernel `{name}`")
            } else {
                format!("`{name}` is not a kernel")
            };
            let names: Vec<_> = all.iter().map(|kernel| kernel.name()).collect();
            let message = format!("{why}; choose one of {}", names.join(", "));
            KernelError::new(KernelErrorKind::Unavailable, message)
        })
    }
}

/// Panels times each input vector, to an output vector each; from the last panel to the first if wanted.
type Product = unsafe fn(&Panels, &[&[i8]], &mut [&mut [i32]], bool, &mut Scratch);

/// Panels times a vector of 16-bit words.
pub(super) type WordProduct = unsafe fn(&Panels, &Planes, &mut [i32], bool, &mut Scratch);

/// The tiled code of one instruction set. The functions are unsafe: they may run only where the
/// instruction set exists.
#[derive(Clone, Copy)]
pub(super) struct Engine {
    pub layout: Layout,
    pub conv: unsafe fn(&Conv, &Tiled, Job<'_>, &mut Scratch),
    pub product: Product,
    /// Where bytes are multiplied as words anyway.
    pub words: Option<WordProduct>,
    /// Makes room for so many activations.
    pub reserve: fn(&mut Scratch, usize),
}

impl Engine {
    pub fn of<S: Isa>() -> Engine {
        Engine {
            layout: S::LAYOUT,
            conv: conv::drive::<S>,
            product: gemm::product::<S>,
            words: None,
            reserve: |scratch, len| {
                let buffer = S::X::buffer(scratch);
                if buffer.len() < len {
                    buffer.resize(len, S::X::from_i8(0, 0));
                }
            },
        }
    }
}
