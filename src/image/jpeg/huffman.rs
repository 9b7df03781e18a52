//! Huffman codes and the bits that they are read from (ITU-T T.81, annexes C and F.2.2).

/// Why picture data cannot be read on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fault {
    /// A marker, or the end of the file, stands where more picture data must be.
    Short,
    Corrupt(&'static str),
}

/// Codes of up to this many bits are looked up; longer ones are rare.
const LOOKUP_BITS: u32 = 9;

/// A canonical Huffman code of 8-bit symbols. The default has no codes.
#[derive(Clone)]
pub(super) struct Table {
    /// By the next nine bits: code length in the high byte and symbol in the low one, or 0.
    lookup: [u16; 1 << LOOKUP_BITS],
    /// By code length: one more than the largest code, and what to add to a code to get the index
    /// of its symbol.
    limit: [u32; 17],
    offset: [i32; 17],
    symbols: Vec<u8>,
}

impl Default for Table {
    fn default() -> Table {
        Table { lookup: [0; _], limit: [0; 17], offset: [0; 17], symbols: Vec::new() }
    }
}

impl Table {
    /// `counts[n]` codes of n + 1 bits for `symbols` in turn; `None` if that is no prefix code, or
    /// one that uses the code of ones only, which T.81 reserves.
    fn new(counts: &[u8; 16], symbols: &[u8]) -> Option<Table> {
        let mut table = Table { symbols: symbols.to_vec(), ..Table::default() };
        let mut code = 0;
        let mut index = 0;
        for (length, &count) in (1..).zip(counts) {
            table.offset[length as usize] = index as i32 - code as i32;
            for _ in 0..count {
                if length <= LOOKUP_BITS {
                    let free = LOOKUP_BITS - length;
                    let entry = (length << 8) as u16 | u16::from(symbols[index]);
                    table.lookup.get_mut(code << free..(code + 1) << free)?.fill(entry);
                }
                code += 1;
                index += 1;
            }
            if count > 0 {
                if code >= 1 << length {
                    return None;
                }
                table.limit[length as usize] = code as u32;
            }
            code <<= 1;
        }
        Some(table)
    }

    fn is_empty(&self) -> bool {
        self.symbols.is_empty()
    }
}

/// The four DC and four AC tables that a scan can choose from.
#[derive(Default)]
pub(super) struct Tables {
    dc: [Table; 4],
    ac: [Table; 4],
}

impl Tables {
    /// Takes over the tables of a segment's content (T.81, B.2.4.2); `None` if one is impossible.
    pub fn define(&mut self, mut content: &[u8]) -> Option<()> {
        while !content.is_empty() {
            let (&[place, ref counts @ ..], rest) = content.split_first_chunk::<17>()?;
            let counts = counts.first_chunk::<16>()?;
            let total = counts.iter().map(|&count| usize::from(count)).sum();
            let symbols = rest.get(..total)?;
            let tables = match place >> 4 {
                0 => &mut self.dc,
                1 => &mut self.ac,
                _ => return None,
            };
            *tables.get_mut(usize::from(place & 15))? = Table::new(counts, symbols)?;
            content = &rest[total..];
        }
        Some(())
    }

    /// Puts the standard tables into those of places 0 and 1 that are still empty.
    pub fn add_standard(&mut self) {
        let mut standard = Tables::default();
        standard.define(&STANDARD_TABLES[4..]).expect("the standard tables are prefix codes");
        for (own, standard) in self.dc.iter_mut().zip(standard.dc) {
            if own.is_empty() {
                *own = standard;
            }
        }
        for (own, standard) in self.ac.iter_mut().zip(standard.ac) {
            if own.is_empty() {
                *own = standard;
            }
        }
    }

    pub fn dc(&self, place: usize) -> &Table {
        &self.dc[place]
    }

    pub fn ac(&self, place: usize) -> &Table {
        &self.ac[place]
    }

    pub fn has_dc(&self, place: usize) -> bool {
        !self.dc[place].is_empty()
    }

    pub fn has_ac(&self, place: usize) -> bool {
        !self.ac[place].is_empty()
    }
}

/// Reads the bits of a scan, most significant first, up to the next marker.
pub(super) struct Bits<'a> {
    bytes: &'a [u8],
    at: usize,
    /// The next `count` bits, left-aligned; zeros follow.
    window: u64,
    count: u32,
}

/// Some webcams leave stray bytes (up to nine are reported) behind the last unit of a scan or restart
/// interval, and libjpeg only warns of them. More means that the data was damaged on the way.
const MAX_STRAY_BYTES: usize = 16;

impl<'a> Bits<'a> {
    pub fn new(bytes: &'a [u8], at: usize) -> Bits<'a> {
        Bits { bytes, at, window: 0, count: 0 }
    }

    /// Where the next byte is read, or the marker or the end of the file that stops the reading.
    pub fn position(&self) -> usize {
        self.at
    }

    /// The next byte of picture data and its length in the file: after an ff stands a stuffed 00,
    /// or else a marker begins there.
    fn next_byte(&self) -> Option<(u8, usize)> {
        match *self.bytes.get(self.at)? {
            0xff => (self.bytes.get(self.at + 1) == Some(&0)).then_some((0xff, 2)),
            byte => Some((byte, 1)),
        }
    }

    fn refill(&mut self) {
        while self.count <= 56 {
            let Some((byte, length)) = self.next_byte() else { return };
            self.at += length;
            self.window |= u64::from(byte) << (56 - self.count);
            self.count += 8;
        }
    }

    fn consume(&mut self, count: u32) -> Result<(), Fault> {
        self.count = self.count.checked_sub(count).ok_or(Fault::Short)?;
        self.window <<= count;
        Ok(())
    }

    /// The next `count` bits as a number; at most 32.
    pub fn take(&mut self, count: u32) -> Result<u32, Fault> {
        if self.count < count {
            self.refill();
        }
        // Two shifts: one by 64, for no bits at all, would overflow.
        let value = (self.window >> 1 >> (63 - count)) as u32;
        self.consume(count)?;
        Ok(value)
    }

    /// A signed number of `size` bits (T.81, F.2.2.1, EXTEND).
    pub fn signed(&mut self, size: u32) -> Result<i32, Fault> {
        if size == 0 {
            return Ok(0);
        }
        let value = self.take(size)? as i32;
        Ok(if value < 1 << (size - 1) { value - (1 << size) + 1 } else { value })
    }

    /// The symbol of the next code.
    pub fn symbol(&mut self, table: &Table) -> Result<u32, Fault> {
        if self.count < 16 {
            self.refill();
        }
        let entry = table.lookup[(self.window >> (64 - LOOKUP_BITS)) as usize];
        if entry != 0 {
            self.consume(u32::from(entry >> 8))?;
            return Ok(u32::from(entry & 0xff));
        }
        for length in LOOKUP_BITS + 1..=16 {
            let code = (self.window >> (64 - length)) as u32;
            if code < table.limit[length as usize] {
                self.consume(length)?;
                let index = code as i32 + table.offset[length as usize];
                return Ok(u32::from(table.symbols[index as usize]));
            }
        }
        Err(if self.count < 16 { Fault::Short } else { Fault::Corrupt("an unknown Huffman code") })
    }

    /// Drops what is left before the next marker.
    pub fn finish(&mut self) -> Result<(), Fault> {
        let mut stray = self.count as usize / 8;
        self.window = 0;
        self.count = 0;
        while let Some((_, length)) = self.next_byte() {
            self.at += length;
            stray += 1;
        }
        if stray > MAX_STRAY_BYTES {
            return Err(Fault::Corrupt("more bytes than the picture needs"));
        }
        // An ff as the last byte may be half of a stuffed pair: the file ends before a marker.
        if self.bytes.len() - self.at < 2 {
            self.at = self.bytes.len();
            return Err(Fault::Short);
        }
        Ok(())
    }

    /// Moves past restart marker `number`, 0 to 7.
    pub fn restart(&mut self, number: u8) -> Result<(), Fault> {
        self.finish()?;
        let fill = self.bytes[self.at..].iter().take_while(|&&byte| byte == 0xff).count();
        match self.bytes.get(self.at + fill) {
            Some(&code) if code == 0xd0 + number => {
                self.at += fill + 1;
                Ok(())
            }
            Some(0xd0..=0xd7) => Err(Fault::Corrupt("a restart marker out of order")),
            _ => Err(Fault::Short),
        }
    }
}

/// A table segment with the codes of T.81, K.3: those that a file without its own relies on.
#[rustfmt::skip]
pub(super) const STANDARD_TABLES: [u8; 420] = [
    0xff, 0xc4, 0x01, 0xa2,
    // Table K.3: DC of luminance.
    0x00, 0, 1, 5, 1, 1, 1, 1, 1, 1, 0, 0, 0, 0, 0, 0, 0,
    0x00, 0x01, 0x02, 0x03, 0x04, 0x05, 0x06, 0x07, 0x08, 0x09, 0x0a, 0x0b,
    // Table K.5: AC of luminance.
    0x10, 0, 2, 1, 3, 3, 2, 4, 3, 5, 5, 4, 4, 0, 0, 1, 125,
    0x01, 0x02, 0x03, 0x00, 0x04, 0x11, 0x05, 0x12, 0x21, 0x31, 0x41, 0x06, 0x13, 0x51, 0x61, 0x07,
    0x22, 0x71, 0x14, 0x32, 0x81, 0x91, 0xa1, 0x08, 0x23, 0x42, 0xb1, 0xc1, 0x15, 0x52, 0xd1, 0xf0,
    0x24, 0x33, 0x62, 0x72, 0x82, 0x09, 0x0a, 0x16, 0x17, 0x18, 0x19, 0x1a, 0x25, 0x26, 0x27, 0x28,
    0x29, 0x2a, 0x34, 0x35, 0x36, 0x37, 0x38, 0x39, 0x3a, 0x43, 0x44, 0x45, 0x46, 0x47, 0x48, 0x49,
    0x4a, 0x53, 0x54, 0x55, 0x56, 0x57, 0x58, 0x59, 0x5a, 0x63, 0x64, 0x65, 0x66, 0x67, 0x68, 0x69,
    0x6a, 0x73, 0x74, 0x75, 0x76, 0x77, 0x78, 0x79, 0x7a, 0x83, 0x84, 0x85, 0x86, 0x87, 0x88, 0x89,
    0x8a, 0x92, 0x93, 0x94, 0x95, 0x96, 0x97, 0x98, 0x99, 0x9a, 0xa2, 0xa3, 0xa4, 0xa5, 0xa6, 0xa7,
    0xa8, 0xa9, 0xaa, 0xb2, 0xb3, 0xb4, 0xb5, 0xb6, 0xb7, 0xb8, 0xb9, 0xba, 0xc2, 0xc3, 0xc4, 0xc5,
    0xc6, 0xc7, 0xc8, 0xc9, 0xca, 0xd2, 0xd3, 0xd4, 0xd5, 0xd6, 0xd7, 0xd8, 0xd9, 0xda, 0xe1, 0xe2,
    0xe3, 0xe4, 0xe5, 0xe6, 0xe7, 0xe8, 0xe9, 0xea, 0xf1, 0xf2, 0xf3, 0xf4, 0xf5, 0xf6, 0xf7, 0xf8,
    0xf9, 0xfa,
    // Table K.4: DC of chrominance.
    0x01, 0, 3, 1, 1, 1, 1, 1, 1, 1, 1, 1, 0, 0, 0, 0, 0,
    0x00, 0x01, 0x02, 0x03, 0x04, 0x05, 0x06, 0x07, 0x08, 0x09, 0x0a, 0x0b,
    // Table K.6: AC of chrominance.
    0x11, 0, 2, 1, 2, 4, 4, 3, 4, 7, 5, 4, 4, 0, 1, 2, 119,
    0x00, 0x01, 0x02, 0x03, 0x11, 0x04, 0x05, 0x21, 0x31, 0x06, 0x12, 0x41, 0x51, 0x07, 0x61, 0x71,
    0x13, 0x22, 0x32, 0x81, 0x08, 0x14, 0x42, 0x91, 0xa1, 0xb1, 0xc1, 0x09, 0x23, 0x33, 0x52, 0xf0,
    0x15, 0x62, 0x72, 0xd1, 0x0a, 0x16, 0x24, 0x34, 0xe1, 0x25, 0xf1, 0x17, 0x18, 0x19, 0x1a, 0x26,
    0x27, 0x28, 0x29, 0x2a, 0x35, 0x36, 0x37, 0x38, 0x39, 0x3a, 0x43, 0x44, 0x45, 0x46, 0x47, 0x48,
    0x49, 0x4a, 0x53, 0x54, 0x55, 0x56, 0x57, 0x58, 0x59, 0x5a, 0x63, 0x64, 0x65, 0x66, 0x67, 0x68,
    0x69, 0x6a, 0x73, 0x74, 0x75, 0x76, 0x77, 0x78, 0x79, 0x7a, 0x82, 0x83, 0x84, 0x85, 0x86, 0x87,
    0x88, 0x89, 0x8a, 0x92, 0x93, 0x94, 0x95, 0x96, 0x97, 0x98, 0x99, 0x9a, 0xa2, 0xa3, 0xa4, 0xa5,
    0xa6, 0xa7, 0xa8, 0xa9, 0xaa, 0xb2, 0xb3, 0xb4, 0xb5, 0xb6, 0xb7, 0xb8, 0xb9, 0xba, 0xc2, 0xc3,
    0xc4, 0xc5, 0xc6, 0xc7, 0xc8, 0xc9, 0xca, 0xd2, 0xd3, 0xd4, 0xd5, 0xd6, 0xd7, 0xd8, 0xd9, 0xda,
    0xe2, 0xe3, 0xe4, 0xe5, 0xe6, 0xe7, 0xe8, 0xe9, 0xea, 0xf2, 0xf3, 0xf4, 0xf5, 0xf6, 0xf7, 0xf8,
    0xf9, 0xfa,
];
