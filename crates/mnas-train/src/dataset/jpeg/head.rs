//! The segments before the entropy-coded data (T.81, annex B).

/// Most components that are read.
const MAX_COMPONENTS: usize = 4;

/// One component of the frame.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Component {
    id: u8,
    /// Sampling factors, across and down.
    pub(super) sampling: (usize, usize),
    /// Position of its quantisation table.
    pub(super) quantisation: usize,
    /// Positions of its Huffman tables.
    pub(super) huffman: (usize, usize),
}

/// What stands before the coded data of the first scan.
#[derive(Debug, Default)]
pub(crate) struct Head<'a> {
    /// Width in pixels, as stored.
    pub(crate) width: usize,
    /// Height in pixels, as stored.
    pub(crate) height: usize,
    /// The EXIF segment, from its TIFF header.
    pub(crate) exif: Option<&'a [u8]>,
    /// Baseline or extended sequential.
    pub(super) sequential: bool,
    /// Quantisation tables in zigzag order.
    pub(super) quantisation: [Option<&'a [u8; 64]>; 4],
    /// DC and AC tables as defined: 16 counts and the symbols.
    pub(super) huffman: [[Option<&'a [u8]>; 4]; 2],
    /// MCUs between restart markers; 0 where there are none.
    pub(super) restart: usize,
    /// What an Adobe segment says about colours.
    pub(super) adobe: Option<u8>,
    /// A scan of all components in the frame's order and every coefficient.
    pub(super) one_scan: bool,
    /// The entropy-coded data and what follows.
    pub(super) data: &'a [u8],
    components: [Component; MAX_COMPONENTS],
    count: usize,
}

impl<'a> Head<'a> {
    /// Reads up to the first scan; `None` where anything is unusual, wrong or missing.
    pub(crate) fn read(bytes: &'a [u8]) -> Option<Self> {
        let mut head = Self::default();
        let mut rest = bytes.strip_prefix(&[0xff, 0xd8])?;
        loop {
            let [0xff, marker, high, low, ..] = *rest else {
                return None;
            };
            let length = usize::from(u16::from_be_bytes([high, low]));
            let body = rest.get(4..2 + length)?;
            rest = &rest[2 + length..];
            match marker {
                0xc0..=0xc2 => head.frame(body, marker != 0xc2)?,
                0xc4 => head.define_huffman(body)?,
                0xda => {
                    head.scan(body)?;
                    head.data = rest;
                    return Some(head);
                }
                0xdb => head.define_quantisation(body)?,
                0xdd => head.restart = usize::from(u16::from_be_bytes(body.try_into().ok()?)),
                0xe1 => {
                    if let Some(exif) = body.strip_prefix(b"Exif\0\0") {
                        head.exif = Some(exif);
                    }
                }
                // Transform is the last of twelve bytes.
                0xee if body.starts_with(b"Adobe") => head.adobe = Some(*body.get(11)?),
                // Application data and comments.
                0xe0 | 0xe2..=0xef | 0xfe => {}
                _ => return None,
            }
        }
    }

    /// Components in the frame's order.
    pub(super) fn components(&self) -> &[Component] {
        &self.components[..self.count]
    }

    /// Whether there is a single component.
    pub(crate) fn is_gray(&self) -> bool {
        self.count == 1
    }

    /// Whether the components are known to be luma and two colour differences.
    pub(super) fn is_ycc(&self) -> bool {
        let ids: Vec<u8> = self.components().iter().map(|c| c.id).collect();
        self.count == 3 && matches!(self.adobe, None | Some(1)) && ids != *b"RGB"
    }

    fn frame(&mut self, body: &[u8], sequential: bool) -> Option<()> {
        let [8, h1, h0, w1, w0, count, ref specs @ ..] = *body else {
            return None;
        };
        let count = usize::from(count);
        let fits = (1..=MAX_COMPONENTS).contains(&count) && specs.len() == 3 * count;
        if !fits || self.count != 0 {
            return None;
        }
        self.height = usize::from(u16::from_be_bytes([h1, h0]));
        self.width = usize::from(u16::from_be_bytes([w1, w0]));
        for (c, spec) in self.components.iter_mut().zip(specs.chunks_exact(3)) {
            c.id = spec[0];
            c.sampling = (usize::from(spec[1] >> 4), usize::from(spec[1] & 15));
            c.quantisation = usize::from(spec[2]);
        }
        self.count = count;
        self.sequential = sequential;
        (self.width > 0 && self.height > 0).then_some(())
    }

    fn define_quantisation(&mut self, mut body: &'a [u8]) -> Option<()> {
        while let Some((at, rest)) = body.split_first() {
            let (table, rest) = rest.split_first_chunk::<64>()?;
            // Tables of 16 bits have the high half of `at` set, and no place here.
            *self.quantisation.get_mut(usize::from(*at))? = Some(table);
            body = rest;
        }
        Some(())
    }

    fn define_huffman(&mut self, mut body: &'a [u8]) -> Option<()> {
        while let Some((at, rest)) = body.split_first() {
            let counts = rest.get(..16)?;
            let symbols: usize = counts.iter().map(|n| usize::from(*n)).sum();
            let kind = self.huffman.get_mut(usize::from(at >> 4))?;
            *kind.get_mut(usize::from(at & 15))? = Some(rest.get(..16 + symbols)?);
            body = &rest[16 + symbols..];
        }
        Some(())
    }

    fn scan(&mut self, body: &[u8]) -> Option<()> {
        let (count, body) = body.split_first()?;
        let count = usize::from(*count);
        if body.len() != 2 * count + 3 || self.count == 0 {
            return None;
        }
        let (specs, range) = body.split_at(2 * count);
        self.one_scan = count == self.count && *range == [0, 63, 0];
        for (c, spec) in self.components.iter_mut().zip(specs.chunks_exact(2)) {
            self.one_scan &= c.id == spec[0];
            c.huffman = (usize::from(spec[1] >> 4), usize::from(spec[1] & 15));
        }
        let mut others = self.components();
        while let Some((c, rest)) = others.split_first() {
            if rest.iter().any(|other| other.id == c.id) {
                return None;
            }
            others = rest;
        }
        Some(())
    }
}
