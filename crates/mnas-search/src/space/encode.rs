//! From a network to tokens: which line of the space gives which line of the network's text.

use mnas_net::NetSpec;

use super::Space;
use super::text::Item;
use crate::Tokens;

/// The first tokens in order that give the target, a canonical network, line by line. Lines of the
/// space may give nothing (blocks of no layers, cells that no block uses), so the lines are aligned.
pub(super) fn tokens(space: &Space, target: &NetSpec) -> Option<Tokens> {
    let text = target.to_string();
    let lines: Vec<&str> = text.lines().collect();
    let alignment = Alignment {
        space,
        target,
        lines: &lines,
    };
    let (items, count) = (space.items.len(), lines.len());
    // `found[i][j]`: choices of the items from `i` on that give the lines from `j` on.
    let mut found: Vec<Vec<Option<Tokens>>> = vec![vec![None; count + 1]; items + 1];
    found[items][count] = Some(vec![]);
    let absent: Vec<Option<Tokens>> = (0..items).map(|i| alignment.absent(i)).collect();
    let spare = absent.iter().flatten().count();
    for i in (0..items).rev() {
        // Every item before gave a line, or is one of those that may give none.
        for j in i.saturating_sub(spare)..=i.min(count) {
            let with = |own: Option<Tokens>, rest: &Option<Tokens>| {
                Some([own?.as_slice(), rest.as_deref()?].concat())
            };
            let next = found[i + 1].get(j + 1).filter(|rest| rest.is_some());
            let matched = next.and_then(|rest| with(alignment.matching(i, j), rest));
            let skipped = with(absent[i].clone(), &found[i + 1][j]);
            found[i][j] = [matched, skipped].into_iter().flatten().min();
        }
    }
    found[0][0].take()
}

struct Alignment<'a> {
    space: &'a Space,
    target: &'a NetSpec,
    lines: &'a [&'a str],
}

impl Alignment<'_> {
    /// The first choices of an item that give no line.
    fn absent(&self, index: usize) -> Option<Tokens> {
        let item = &self.space.items[index];
        if item.is_cell() {
            return self.space.combinations(item).next();
        }
        if index == 0 || index + 1 == self.space.items.len() {
            return None;
        }
        let mut all = self.space.combinations(item);
        all.find(|choice| self.block(item, choice, None) == Some(None))
    }

    /// The first choices of an item that give this line of the target.
    fn matching(&self, index: usize, line: usize) -> Option<Tokens> {
        let item = &self.space.items[index];
        let (first, last) = (index == 0, index + 1 == self.space.items.len());
        let is = |choice: &Tokens| {
            let text = item.substitute(&self.space.decisions, choice);
            let given = match (first, last, item.is_cell()) {
                (true, ..) => parse(&[&text, self.lines[self.lines.len() - 1]])
                    .map(|spec| spec.stem.to_string()),
                (_, true, _) => parse(&[self.lines[0], &text]).map(|spec| spec.head.to_string()),
                (.., true) => self.cell(&text),
                _ => {
                    let before = line.checked_sub(1).map(|l| self.lines[l]);
                    self.block(item, choice, before).flatten()
                }
            };
            given.is_some_and(|given| given == self.lines[line])
        };
        self.space.combinations(item).find(is)
    }

    /// The canonical form of a block after the line before it: nothing where it has no layers,
    /// nothing at all where it is no block here.
    fn block(&self, item: &Item, choice: &[u16], before: Option<&str>) -> Option<Option<String>> {
        let text = item.substitute(&self.space.decisions, choice);
        let (stem, head) = (self.lines[0], self.lines[self.lines.len() - 1]);
        let is_cell = |l: &&&str| l.starts_with("normal_") || l.starts_with("reduce_");
        let before = before.filter(|l| *l != stem && !is_cell(&l));
        let mut lines = vec![stem];
        lines.extend(self.lines.iter().filter(is_cell).copied());
        lines.extend(before);
        lines.push(&text);
        lines.push(head);
        let blocks = parse(&lines)?.blocks;
        let own = blocks.get(usize::from(before.is_some()));
        Some(own.map(|b| b.to_string()))
    }

    /// The canonical form of a cell's line. Its states depend on the lines before it, which the
    /// target has too.
    fn cell(&self, text: &str) -> Option<String> {
        let parts: Vec<&str> = text.split('_').collect();
        let [code, a, b] = parts[..] else {
            return Some(text.to_owned());
        };
        let cell = match code {
            "normal" => &self.target.cells.normal,
            _ => &self.target.cells.reduction,
        };
        // The same two edges in either order.
        let edges = |n: &[mnas_net::Edge; 2]| n.map(|e| e.to_string());
        let mut nodes = cell.nodes.iter().map(edges);
        let found = nodes.find(|[x, y]| (x == a && y == b) || (x == b && y == a));
        found.map(|[x, y]| format!("{code}_{x}_{y}"))
    }
}

fn parse(lines: &[&str]) -> Option<NetSpec> {
    let spec = lines.join("\n").parse::<NetSpec>().ok()?;
    Some(spec.canonical())
}
