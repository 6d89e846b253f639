//! The winner, block by block.

use maud::{Markup, html};

use crate::plot::blocks;
use crate::view::View;

/// The winner's section, where there is one.
pub(super) fn section(view: &View) -> Markup {
    let Some(w) = &view.winner else {
        return html! {};
    };
    html! {
        section id="network" {
            h2 { "The network of " (w.name) ", block by block" }
            @if let Some(net) = &w.architecture {
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
                        pre class="spec" { (w.spec) }
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
            } @else {
                p class="note" { "The plan doesn't tell the shape of an image, so shapes and costs can't be drawn." }
                pre class="spec" { (w.spec) }
            }
        }
    }
}
