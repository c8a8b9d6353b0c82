//! What the terminal tells: what it is, how large, whether it has the focus, and who is behind a multiplexer.

use super::{looks, repaint};
use crate::ui::effect::Effect;
use crate::ui::event::Window;
use crate::ui::input::Report;
use crate::ui::picture::Protocol;
use crate::ui::state::State;
use crate::ui::terminal::clipboard::Between;
use crate::ui::terminal::tmux::Tmux;

/// Takes an answer. After the last of a round the line is quiet: the time of a round trip is measured.
pub(super) fn learn(state: &mut State, report: &Report) -> Vec<Effect> {
    state.terminal.learn(report);
    if *report == Report::Arrived {
        state.line.answered(state.now);
    }
    if matches!(report, Report::Background(_)) && state.look.automatic {
        // What is wrong with a theme of one's own was told when it was read.
        let _ = looks::dress(state);
    }
    let last = matches!(report, Report::Attributes(_));
    if last { vec![Effect::AskArrived] } else { Vec::new() }
}

/// A resize to the same size is how tmux says that it was attached again: pictures are drawn anew. Who is attached may be
/// another after any.
pub(super) fn resized(state: &mut State, window: Window) -> Vec<Effect> {
    let same = state.view.window == window;
    state.view.window = window;
    let mut effects = Vec::new();
    if state.terminal.environment.between == Between::Tmux {
        effects.push(Effect::AskTmux);
    }
    if same {
        repaint(state);
        effects.push(Effect::Repaint);
    }
    effects
}

/// tmux has answered, or could not be asked. A terminal that is attached anew has none of our pictures.
pub(super) fn tmux_said(state: &mut State, tmux: Option<Tmux>) -> Vec<Effect> {
    if state.terminal.learn_tmux(tmux) { vec![Effect::RepaintPictures] } else { Vec::new() }
}

/// The terminal got the focus, or lost it. A multiplexer draws its windows from cells, and pixels are none: those that
/// were there are gone when a window is seen again. What tmux passes on out of a window that nobody sees is lost too.
pub(super) fn focused(state: &mut State, focused: bool) -> Vec<Effect> {
    let unseen = std::mem::take(&mut state.view.unseen);
    state.view.elsewhere = !focused;
    if !focused || !state.terminal.environment.multiplexer {
        return Vec::new();
    }
    let protocol = state.terminal.means(state.view.window).protocol;
    let lost = protocol.leaves_pixels() || (protocol == Protocol::KittyThroughTmux && unseen);
    let mut effects = Vec::new();
    if state.terminal.environment.between == Between::Tmux {
        effects.push(Effect::AskTmux);
    }
    if lost {
        effects.push(Effect::RepaintPictures);
    }
    effects
}
