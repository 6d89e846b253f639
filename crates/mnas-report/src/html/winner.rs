//! The winner, block by block.

use maud::{Markup, html};

use crate::plot::blocks;
use crate::view::{Architecture, View};

/// The winner's section, where there is one.
pub(crate) fn section(view: &View) -> Markup {
    let Some(w) = &view.winner else {
        return html! {};
    };
    html! {
        section id="network" {
            h2 { "The network of " (w.name) ", block by block" }
            @match &w.architecture {
                Some(net) => (blocks(net, &w.spec)),
                None => (unknown_shape(&w.spec)),
            }
        }
    }
}

/// A network whose image's shape the plan doesn't tell.
pub(crate) fn unknown_shape(spec: &str) -> Markup {
    html! {
        p class="note" { "The plan doesn't tell the shape of an image, so shapes and costs can't be drawn." }
        pre class="spec" tabindex="0" { (spec) }
    }
}

/// A network drawn: the stack of blocks, and what is inside a layer of each kind.
pub(crate) fn blocks(net: &Architecture, spec: &str) -> Markup {
    html! {
        div class="network" {
            div {
                figure {
                    (blocks::stack(net))
                    figcaption {
                        "Shapes are height × width × channels of one image. The bars compare the blocks: "
                        "above multiply-accumulates, below parameters."
                    }
                }
                h3 { "As text" }
                pre class="spec" tabindex="0" { (spec) }
            }
            div {
                h3 { "Inside a layer" }
                div class="layers" {
                    @for (title, picture) in blocks::layers(net) {
                        figure { figcaption { (title) } (picture) }
                    }
                }
                p class="note" {
                    "Each is the last layer of the first block named, with its shapes; a block's first layer has its stride. "
                    "MBConv6 expands channels six times; SE is squeeze-excitation; BN is batch norm."
                }
            }
        }
    }
}
