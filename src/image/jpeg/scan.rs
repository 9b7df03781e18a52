//! The scans of a JPEG file: every code is read, no pixel is made (ITU-T T.81, F.2 and G.2).

use super::frame::{Component, Frame, NOT_GIVEN};
use super::huffman::{Bits, Fault, Table, Tables};

pub(super) struct Scan {
    pass: Pass,
    /// First and last coefficient of the band that the scan gives, in zigzag order; DC is the 0th.
    band: [u8; 2],
    /// The lowest bit of the coefficients that the scan gives.
    lowest_bit: u8,
    pub parts: Vec<Part>,
}

/// How a scan codes its band.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Pass {
    /// All of the coefficients at once.
    Sequential,
    DcFirst,
    /// One more bit of DC.
    DcRefinement,
    AcFirst,
    /// One more bit of the coefficients of a band.
    AcRefinement,
}

/// A component's share of a scan.
pub(super) struct Part {
    component: usize,
    dc_place: usize,
    ac_place: usize,
}

/// Largest magnitude of an 8-bit picture's quantised DC (T.81, F.1.2.1); more means damage.
const MAX_DC: i32 = 2047;

impl Scan {
    /// Parses the content of a scan header; `None` if it is impossible.
    pub fn parse(content: &[u8], frame: &Frame) -> Option<Scan> {
        let (&count, rest) = content.split_first()?;
        let (specs, pass) = rest.split_at_checked(usize::from(count) * 2)?;
        let mut parts: Vec<Part> = Vec::new();
        for spec in specs.chunks_exact(2) {
            let component = frame.components.iter().position(|c| c.id == spec[0])?;
            let (dc_place, ac_place) = (usize::from(spec[1] >> 4), usize::from(spec[1] & 15));
            if dc_place > 3 || ac_place > 3 || parts.iter().any(|p| p.component == component) {
                return None;
            }
            parts.push(Part { component, dc_place, ac_place });
        }
        let (band, lowest_bit, pass) = match pass {
            [_, _, _] if !frame.progressive => ([0, 63], 0, Pass::Sequential),
            &[first, last, bits] => {
                ([first, last], bits & 15, Pass::progressive(first, last, bits)?)
            }
            _ => return None,
        };
        let alone = matches!(pass, Pass::AcFirst | Pass::AcRefinement);
        if parts.is_empty() || alone && parts.len() > 1 {
            return None;
        }
        Some(Scan { pass, band, lowest_bit, parts })
    }

    /// Whether the scan needs a table that the file has not defined.
    pub fn lacks_tables(&self, tables: &Tables) -> bool {
        let needs_dc = matches!(self.pass, Pass::Sequential | Pass::DcFirst);
        let needs_ac = !matches!(self.pass, Pass::DcFirst | Pass::DcRefinement);
        self.parts.iter().any(|part| {
            needs_dc && !tables.has_dc(part.dc_place) || needs_ac && !tables.has_ac(part.ac_place)
        })
    }

    /// Reads the picture data of the scan to its end.
    pub fn read(
        &self,
        bits: &mut Bits,
        tables: &Tables,
        frame: &mut Frame,
        restart_interval: u32,
    ) -> Result<(), Fault> {
        let alone = self.parts.len() == 1;
        let [columns, rows] =
            if alone { frame.components[self.parts[0].component].blocks } else { frame.units };
        for part in &self.parts {
            self.enter_band(&mut frame.components[part.component])?;
        }
        let mut states = [State::default(); 4];
        let mut units_to_restart = restart_interval;
        let mut next_restart = 0;
        for row in 0..rows as usize {
            for column in 0..columns as usize {
                if restart_interval > 0 {
                    if units_to_restart == 0 {
                        bits.restart(next_restart)?;
                        next_restart = (next_restart + 1) % 8;
                        states = [State::default(); 4];
                        units_to_restart = restart_interval;
                    }
                    units_to_restart -= 1;
                }
                for (part, state) in self.parts.iter().zip(&mut states) {
                    let component = &mut frame.components[part.component];
                    let sampling = if alone { [1, 1] } else { component.sampling };
                    let codes = (tables.dc(part.dc_place), tables.ac(part.ac_place));
                    self.unit(bits, codes, component, sampling, [column, row], state)?;
                }
            }
        }
        bits.finish()
    }

    /// Notes that the scan gives its band; its predecessors must have left off right before.
    fn enter_band(&self, component: &mut Component) -> Result<(), Fault> {
        let before = match self.pass {
            Pass::DcRefinement | Pass::AcRefinement => self.lowest_bit + 1,
            _ => NOT_GIVEN,
        };
        let [first, last] = self.band.map(usize::from);
        for bit in &mut component.lowest_bit[first..=last] {
            if *bit != before {
                return Err(Fault::Corrupt("a scan out of order"));
            }
            *bit = self.lowest_bit;
        }
        Ok(())
    }

    /// One component's blocks of the unit at `[column, row]`.
    fn unit(
        &self,
        bits: &mut Bits,
        (dc_table, ac_table): (&Table, &Table),
        component: &mut Component,
        sampling: [u32; 2],
        [column, row]: [usize; 2],
        state: &mut State,
    ) -> Result<(), Fault> {
        let [across, down] = sampling.map(|factor| factor as usize);
        let band = self.band.map(u32::from);
        for y in row * down..(row + 1) * down {
            for x in column * across..(column + 1) * across {
                let block = y * component.stride + x;
                match self.pass {
                    Pass::Sequential => {
                        state.dc(bits, dc_table, 0)?;
                        sequential_ac(bits, ac_table)?;
                    }
                    Pass::DcFirst => state.dc(bits, dc_table, self.lowest_bit)?,
                    Pass::DcRefinement => {
                        bits.take(1)?;
                    }
                    Pass::AcFirst => {
                        state.ac_first(bits, ac_table, band, &mut component.nonzero[block])?;
                    }
                    Pass::AcRefinement => {
                        state.ac_refinement(bits, ac_table, band, &mut component.nonzero[block])?;
                    }
                }
            }
        }
        Ok(())
    }
}

impl Pass {
    /// The pass of a progressive scan header's last three bytes (T.81, B.2.3 and G.1.1.1): the band,
    /// and in `bits` the lowest bit given before (0 for none) and by this scan.
    fn progressive(first: u8, last: u8, bits: u8) -> Option<Pass> {
        let (before, lowest) = (bits >> 4, bits & 15);
        let refines = before > 0;
        if last > 63 || first > last || lowest > 13 || refines && before != lowest + 1 {
            return None;
        }
        match (first, refines) {
            (0, _) if last > 0 => None,
            (0, false) => Some(Pass::DcFirst),
            (0, true) => Some(Pass::DcRefinement),
            (_, false) => Some(Pass::AcFirst),
            (_, true) => Some(Pass::AcRefinement),
        }
    }
}

/// What decoding carries from one block of a component to the next.
#[derive(Clone, Copy, Default)]
struct State {
    dc: i32,
    /// Blocks to come that have no further code in this band.
    end_of_band_run: u32,
}

impl State {
    fn dc(&mut self, bits: &mut Bits, table: &Table, shift: u8) -> Result<(), Fault> {
        let size = bits.symbol(table)?;
        if size > 11 {
            return Err(Fault::Corrupt("a brightness step out of range"));
        }
        self.dc += bits.signed(size)?;
        if self.dc.abs() << shift > MAX_DC {
            return Err(Fault::Corrupt("a brightness out of range"));
        }
        Ok(())
    }

    /// T.81, G.1.2.2.
    fn ac_first(
        &mut self,
        bits: &mut Bits,
        table: &Table,
        [first, last]: [u32; 2],
        nonzero: &mut u64,
    ) -> Result<(), Fault> {
        if self.end_of_band_run > 0 {
            self.end_of_band_run -= 1;
            return Ok(());
        }
        let mut k = first;
        while k <= last {
            let symbol = bits.symbol(table)?;
            let (run, size) = (symbol >> 4, symbol & 15);
            if size == 0 && run < 15 {
                self.end_of_band_run = (1 << run) - 1 + bits.take(run)?;
                return Ok(());
            }
            k += run;
            check_coefficient(k, last, size)?;
            if size > 0 {
                bits.take(size)?;
                *nonzero |= 1 << k;
            }
            k += 1;
        }
        Ok(())
    }

    /// T.81, G.1.2.3. Each coefficient that is not zero so far has one correction bit; runs count
    /// only the zero ones.
    fn ac_refinement(
        &mut self,
        bits: &mut Bits,
        table: &Table,
        [first, last]: [u32; 2],
        nonzero: &mut u64,
    ) -> Result<(), Fault> {
        let mut k = first;
        while self.end_of_band_run == 0 && k <= last {
            let symbol = bits.symbol(table)?;
            let (mut run, size) = (symbol >> 4, symbol & 15);
            if size == 0 && run < 15 {
                self.end_of_band_run = (1 << run) + bits.take(run)?;
                break;
            }
            if size > 1 {
                return Err(Fault::Corrupt("a refinement by more than one bit"));
            }
            bits.take(size)?;
            while k <= last && (run > 0 || *nonzero >> k & 1 == 1) {
                if *nonzero >> k & 1 == 1 {
                    bits.take(1)?;
                } else {
                    run -= 1;
                }
                k += 1;
            }
            check_coefficient(k, last, size)?;
            *nonzero |= u64::from(size) << k;
            k += 1;
        }
        if self.end_of_band_run > 0 {
            self.end_of_band_run -= 1;
            let band = (u64::MAX >> (63 - last)) & u64::MAX.checked_shl(k).unwrap_or(0);
            let mut corrections = (*nonzero & band).count_ones();
            while corrections > 0 {
                let count = corrections.min(16);
                bits.take(count)?;
                corrections -= count;
            }
        }
        Ok(())
    }
}

/// The AC coefficients of a sequential block (T.81, F.2.2.2).
fn sequential_ac(bits: &mut Bits, table: &Table) -> Result<(), Fault> {
    let mut k = 1;
    while k <= 63 {
        let symbol = bits.symbol(table)?;
        let (run, size) = (symbol >> 4, symbol & 15);
        if size == 0 && run < 15 {
            return Ok(());
        }
        k += run;
        check_coefficient(k, 63, size)?;
        bits.take(size)?;
        k += 1;
    }
    Ok(())
}

/// Whether coefficient `k` lies in its band, and `size` bits suit an 8-bit picture (T.81, F.1.2.2).
fn check_coefficient(k: u32, last: u32, size: u32) -> Result<(), Fault> {
    if k > last || size > 10 {
        return Err(Fault::Corrupt("a coefficient out of range"));
    }
    Ok(())
}
