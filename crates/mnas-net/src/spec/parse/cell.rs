//! Lines that describe a cell: `normal_sep3@0_id@1`, `reduce_join@3`.

use super::Token;
use crate::spec::cell::{Cells, Edge, EdgeOp, MOST_NODES};
use crate::spec::{SpecError, SpecErrorKind};

/// Adds a node, or a state that joins, to one of the cells.
pub(super) fn line(item: Token<'_>, cells: &mut Cells) -> Result<(), SpecError> {
    let cell = match item.code() {
        "normal" => &mut cells.normal,
        _ => &mut cells.reduction,
    };
    let states = cell.states();
    let parts: Vec<Token<'_>> = item.parts().skip(1).collect();
    match parts[..] {
        [join] if join.text.starts_with("join@") => {
            let state = state(join.from("join@".len()), states)?;
            cell.joined.push(state);
        }
        [a, b] => {
            if cell.nodes.len() == MOST_NODES {
                return Err(item.error(SpecErrorKind::TooManyNodes { most: MOST_NODES }));
            }
            cell.nodes.push([edge(a, states)?, edge(b, states)?]);
        }
        _ => return Err(item.error(SpecErrorKind::CellParts)),
    }
    Ok(())
}

fn edge(part: Token<'_>, states: usize) -> Result<Edge, SpecError> {
    let known = |name: &str| EdgeOp::ALL.iter().find(|(n, _)| *n == name);
    let found = part.text.split_once('@');
    let Some((name, (_, op))) = found.and_then(|(name, _)| Some((name, known(name)?))) else {
        return Err(part.error(SpecErrorKind::UnknownEdge {
            edge: part.text.into(),
            known: EdgeOp::ALL.map(|(n, _)| n).join(", "),
        }));
    };
    let state = state(part.from(name.len() + 1), states)?;
    Ok(Edge { state, op: *op })
}

/// The number of a state before the node that reads it.
fn state(value: Token<'_>, states: usize) -> Result<usize, SpecError> {
    let digits = value.text.bytes().all(|b| b.is_ascii_digit());
    let number = value.text.parse().ok().filter(|_| digits);
    number.filter(|n| *n < states).ok_or_else(|| {
        value.error(SpecErrorKind::UnknownState {
            state: value.text.into(),
            last: states - 1,
        })
    })
}
