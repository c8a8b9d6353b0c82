//! The one table of keys, from which [`Keymap`] is made: with what a person's `keymap.toml` says, it
//! dispatches, and the help, the hints and the palette are drawn from it.

mod chord;
mod file;
mod live;
mod names;
mod presets;
mod written;

use crossterm::event::KeyCode::{
    self, Backspace, Delete, Down, End, Enter, Esc, Home, Left, PageDown, PageUp, Right, Tab, Up,
};
use crossterm::event::KeyModifiers;

pub use chord::{Chord, ChordError};
pub use live::{KeyLine, Keymap};
pub use presets::Preset;

use super::action::{Action, Edit, FieldAction, GalleryAction, GridAction, ListMove, SizesAction};
use super::editor::Motion;
use super::pane::Pane;
use super::picture::Direction;

/// Where a key means something.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Context {
    /// While the help is open; nothing else applies then.
    Help,
    /// While the models are open.
    Models,
    /// While the LoRAs are open.
    Loras,
    /// While the prompts of the library are open.
    Prompts,
    /// While the seeds of the prompt are open.
    Seeds,
    /// While the snippets are open.
    Snippets,
    /// The prompt.
    Prompt,
    /// The parameters.
    Parameters,
    /// The queue.
    Queue,
    /// The history.
    History,
    /// Every pane but the prompt, while there is no connection.
    Disconnected,
    /// Every pane but the prompt, where letters are text.
    OutsidePrompt,
    /// Everywhere.
    Everywhere,

    /// While the gallery is open.
    Gallery,
    /// While one of its pictures is seen whole.
    GalleryView,
    /// While two pictures are compared.
    Compare,
    /// While a line is typed in the gallery.
    GalleryLine,
    /// While the form of a grid is open.
    Grid,
    /// While the sizes are open.
    Sizes,

    /// While the palette is open.
    Palette,
    /// While the themes are open.
    Themes,
    /// While the log is open.
    Log,
}

impl Context {
    /// Whether it lies over the panes: nothing of it means anything while it is closed.
    #[must_use]
    pub fn is_over(self) -> bool {
        !matches!(
            self,
            Self::Prompt
                | Self::Parameters
                | Self::Queue
                | Self::History
                | Self::Disconnected
                | Self::OutsidePrompt
                | Self::Everywhere
        )
    }

    /// Every context, in the order in which the help lists them.
    pub const ALL: [Self; 22] = [
        Self::Everywhere,
        Self::Prompt,
        Self::Parameters,
        Self::Queue,
        Self::History,
        Self::OutsidePrompt,
        Self::Disconnected,
        Self::Models,
        Self::Loras,
        Self::Prompts,
        Self::Seeds,
        Self::Snippets,
        Self::Gallery,
        Self::GalleryView,
        Self::Compare,
        Self::GalleryLine,
        Self::Grid,
        Self::Sizes,
        Self::Help,
        Self::Palette,
        Self::Themes,
        Self::Log,
    ];

    /// Its name for a person.
    #[must_use]
    pub fn title(self) -> &'static str {
        match self {
            Self::Help => "In this help",
            Self::Models => "In the models",
            Self::Loras => "In the LoRAs",
            Self::Prompts => "In the prompts of the library",
            Self::Seeds => "In the seeds of the prompt",
            Self::Snippets => "In the snippets",
            Self::Prompt => "In the prompt",
            Self::Parameters => "In the parameters",
            Self::Queue => "In the queue",
            Self::History => "In the history",
            Self::OutsidePrompt => "Outside the prompt",
            Self::Disconnected => "Outside the prompt, without a connection",
            Self::Everywhere => "Everywhere",
            Self::Gallery => "In the gallery",
            Self::GalleryView => "While a picture is seen whole",
            Self::Compare => "While two pictures are compared",
            Self::GalleryLine => "In a line of the gallery",
            Self::Grid => "In the form of a grid",
            Self::Sizes => "In the sizes",
            Self::Palette => "In the palette",
            Self::Themes => "In the themes",
            Self::Log => "In the log",
        }
    }
}

/// One line of the table: these keys, there, mean this.
#[derive(Debug, Clone, Copy)]
pub struct Binding {
    /// Where.
    pub context: Context,
    /// Which keys, the one to show first.
    pub keys: &'static [Chord],
    /// What they mean.
    pub action: Action,
    /// What the help says.
    pub help: &'static str,
}

const fn plain(code: KeyCode) -> Chord {
    Chord { code, modifiers: KeyModifiers::NONE }
}
const fn letter(letter: char) -> Chord {
    plain(KeyCode::Char(letter))
}
const fn ctrl(letter: char) -> Chord {
    Chord { code: KeyCode::Char(letter), modifiers: KeyModifiers::CONTROL }
}
const fn ctrl_code(code: KeyCode) -> Chord {
    Chord { code, modifiers: KeyModifiers::CONTROL }
}
const fn alt(code: KeyCode) -> Chord {
    Chord { code, modifiers: KeyModifiers::ALT }
}
const fn shift(code: KeyCode) -> Chord {
    Chord { code, modifiers: KeyModifiers::SHIFT }
}

const fn bind(context: Context, keys: &'static [Chord], action: Action, help: &'static str) -> Binding {
    Binding { context, keys, action, help }
}

const fn moves(keys: &'static [Chord], motion: Motion, help: &'static str) -> Binding {
    bind(Context::Prompt, keys, Action::Edit(Edit::Move(motion)), help)
}

const fn deletes(keys: &'static [Chord], motion: Motion, help: &'static str) -> Binding {
    bind(Context::Prompt, keys, Action::Edit(Edit::Delete(motion)), help)
}

const fn field(keys: &'static [Chord], action: FieldAction, help: &'static str) -> Binding {
    bind(Context::Parameters, keys, Action::Field(action), help)
}

const fn gallery(
    context: Context,
    keys: &'static [Chord],
    action: GalleryAction,
    help: &'static str,
) -> Binding {
    bind(context, keys, Action::Gallery(action), help)
}

/// Every key.
#[rustfmt::skip]
pub const KEYMAP: &[Binding] = &[
    bind(Context::Prompt, &[plain(Enter)], Action::Draw, "draw"),
    bind(Context::Parameters, &[plain(Enter)], Action::Draw, "draw"),
    bind(Context::Everywhere, &[ctrl('g')], Action::DrawAgain, "draw again with a new seed"),
    bind(Context::Everywhere, &[ctrl('s')], Action::DrawSameSeed, "draw with the last seed"),
    bind(Context::Everywhere, &[ctrl('t')], Action::DrawNextSeed, "draw with the seed after the last"),
    bind(Context::Everywhere, &[ctrl('r')], Action::Prompts, "look for a prompt that was drawn"),
    bind(Context::Everywhere, &[plain(KeyCode::F(4))], Action::EditElsewhere, "change the prompt in $VISUAL or $EDITOR"),
    bind(Context::Everywhere, &[plain(Esc)], Action::Escape, "close, dismiss, or cancel the running job"),
    bind(Context::Everywhere, &[plain(Tab)], Action::NextPane, "next pane"),
    bind(Context::Everywhere, &[plain(KeyCode::BackTab), shift(Tab)], Action::PreviousPane, "pane before"),
    bind(Context::Everywhere, &[plain(KeyCode::F(1))], Action::Help, "this help"),
    bind(Context::Everywhere, &[plain(KeyCode::F(2))], Action::Models, "choose a model, or fetch one"),
    bind(Context::Everywhere, &[plain(KeyCode::F(3))], Action::Loras, "choose LoRAs and their strengths"),
    bind(Context::Everywhere, &[plain(KeyCode::F(5))], Action::Reconnect, "connect now, without waiting"),
    bind(Context::Everywhere, &[ctrl('c'), ctrl('q')], Action::Quit, "leave; the worker goes on drawing"),
    bind(Context::Everywhere, &[ctrl('z')], Action::Suspend, "back to the shell; fg returns"),
    bind(Context::Everywhere, &[ctrl('l')], Action::Repaint, "repaint, and ask the terminal again what it is"),
    bind(Context::OutsidePrompt, &[letter('?')], Action::Help, "this help"),
    bind(Context::OutsidePrompt, &[letter('m')], Action::Models, "choose a model, or fetch one"),
    bind(Context::OutsidePrompt, &[letter('l')], Action::Loras, "choose LoRAs and their strengths"),
    bind(Context::OutsidePrompt, &[letter('v')], Action::LessMemory, "less of the card's memory for new jobs"),
    bind(Context::OutsidePrompt, &[letter('V')], Action::MoreMemory, "more of it; at the end all that is free"),
    bind(Context::OutsidePrompt, &[letter('u')], Action::FreeMemory, "give the memory of loaded models back"),
    bind(Context::OutsidePrompt, &[letter('q')], Action::Quit, "leave; the worker goes on drawing"),
    bind(Context::Disconnected, &[letter('r')], Action::Reconnect, "connect now"),
    bind(Context::Disconnected, &[letter('x')], Action::ReplaceWorker, "have a worker of another version finish and end"),

    bind(Context::Prompt, &[alt(Enter), ctrl('j'), shift(Enter)], Action::Edit(Edit::Newline), "new line"),
    moves(&[plain(Left), ctrl('b')], Motion::Left, "left"),
    moves(&[plain(Right), ctrl('f')], Motion::Right, "right"),
    moves(&[ctrl_code(Left), alt(Left), alt(KeyCode::Char('b'))], Motion::WordLeft, "a word left"),
    moves(&[ctrl_code(Right), alt(Right), alt(KeyCode::Char('f'))], Motion::WordRight, "a word right"),
    moves(&[plain(Up), ctrl('p')], Motion::Up, "up"),
    moves(&[plain(Down), ctrl('n')], Motion::Down, "down"),
    moves(&[plain(PageUp)], Motion::PageUp, "a page up"),
    moves(&[plain(PageDown)], Motion::PageDown, "a page down"),
    moves(&[plain(Home)], Motion::RowStart, "beginning of the row"),
    moves(&[plain(End)], Motion::RowEnd, "end of the row"),
    moves(&[ctrl('a')], Motion::LineStart, "beginning of the line"),
    moves(&[ctrl('e')], Motion::LineEnd, "end of the line"),
    moves(&[ctrl_code(Home), alt(KeyCode::Char('<'))], Motion::TextStart, "beginning of the prompt"),
    moves(&[ctrl_code(End), alt(KeyCode::Char('>'))], Motion::TextEnd, "end of the prompt"),
    deletes(&[plain(Backspace)], Motion::Left, "delete left"),
    deletes(&[plain(Delete), ctrl('d')], Motion::Right, "delete right"),
    deletes(&[ctrl('w'), alt(Backspace), ctrl_code(Backspace)], Motion::WordLeft, "delete the word left"),
    deletes(&[alt(KeyCode::Char('d')), ctrl_code(Delete)], Motion::WordRight, "delete the word right"),
    deletes(&[ctrl('k')], Motion::LineEnd, "delete to the end of the line"),
    deletes(&[ctrl('u')], Motion::LineStart, "delete to the beginning of the line"),
    bind(Context::Prompt, &[alt(KeyCode::Char('s'))], Action::Snippets, "insert a snippet, or words of quality"),
    bind(Context::Prompt, &[ctrl('_'), ctrl('/'), alt(KeyCode::Char('u'))], Action::Edit(Edit::Undo), "undo (also ^/)"),
    bind(Context::Prompt, &[ctrl('y'), alt(KeyCode::Char('y'))], Action::Edit(Edit::Redo), "redo"),

    field(&[plain(Up)], FieldAction::Up, "field above"),
    field(&[plain(Down)], FieldAction::Down, "field below"),
    field(&[plain(Left), letter('-')], FieldAction::Less, "less; digits type a value"),
    field(&[plain(Right), letter('+'), letter('=')], FieldAction::More, "more"),
    field(&[shift(Left), plain(PageDown)], FieldAction::MuchLess, "much less"),
    field(&[shift(Right), plain(PageUp)], FieldAction::MuchMore, "much more"),
    field(&[plain(Backspace), plain(Delete)], FieldAction::Backspace, "take back a digit"),
    field(&[letter('r')], FieldAction::RandomSeed, "a random seed"),
    field(&[letter('i')], FieldAction::CountSeed, "the seed goes up after each job, or stays"),
    bind(Context::Parameters, &[letter('s')], Action::Seeds, "the seeds that were tried for this prompt"),

    bind(Context::Queue, &[plain(Up), letter('k')], Action::List(ListMove::Up), "job before"),
    bind(Context::Queue, &[plain(Down), letter('j')], Action::List(ListMove::Down), "next job"),
    bind(Context::Queue, &[plain(PageUp)], Action::List(ListMove::PageUp), "a page up"),
    bind(Context::Queue, &[plain(PageDown)], Action::List(ListMove::PageDown), "a page down"),
    bind(Context::Queue, &[plain(Home)], Action::List(ListMove::First), "first job"),
    bind(Context::Queue, &[plain(End)], Action::List(ListMove::Last), "last job"),
    bind(Context::Queue, &[letter('d'), plain(Delete)], Action::DropJob, "cancel this job"),
    bind(Context::Queue, &[letter('K'), shift(Up)], Action::MoveJobUp, "draw this job sooner"),
    bind(Context::Queue, &[letter('J'), shift(Down)], Action::MoveJobDown, "draw it later"),
    bind(Context::Queue, &[letter('t')], Action::MoveJobFirst, "draw it first"),
    bind(Context::Queue, &[letter('b')], Action::MoveJobLast, "draw it last"),
    bind(Context::Queue, &[letter('r')], Action::RetryJob, "try a failed job again"),
    bind(Context::Queue, &[letter('e')], Action::EditJob, "change this job: Enter does, Esc does not"),
    bind(Context::Queue, &[letter('c')], Action::DuplicateJob, "add a copy of this job"),
    bind(Context::Queue, &[letter('p')], Action::PauseQueue, "pause the queue, or go on"),

    bind(Context::History, &[plain(Enter)], Action::RestoreAll, "restore prompt and parameters"),
    bind(Context::History, &[letter('p')], Action::RestorePrompt, "restore only the prompt"),
    bind(Context::History, &[letter('s')], Action::RestoreSeed, "restore only the seed"),
    bind(Context::History, &[letter('o')], Action::RestoreSettings, "restore only model, size, steps, guidance, LoRAs"),
    bind(Context::History, &[letter('f')], Action::Favourite, "make it a favourite, or none"),
    bind(Context::History, &[letter('5')], Action::Rate(5), "rate it 5, the best"),
    bind(Context::History, &[letter('4')], Action::Rate(4), "rate it 4"),
    bind(Context::History, &[letter('3')], Action::Rate(3), "rate it 3"),
    bind(Context::History, &[letter('2')], Action::Rate(2), "rate it 2"),
    bind(Context::History, &[letter('1')], Action::Rate(1), "rate it 1"),
    bind(Context::History, &[letter('0')], Action::Rate(0), "take its rating back"),
    bind(Context::History, &[plain(Up), letter('k')], Action::List(ListMove::Up), "newer picture"),
    bind(Context::History, &[plain(Down), letter('j')], Action::List(ListMove::Down), "older picture"),
    bind(Context::History, &[plain(PageUp)], Action::List(ListMove::PageUp), "a page newer"),
    bind(Context::History, &[plain(PageDown)], Action::List(ListMove::PageDown), "a page older"),
    bind(Context::History, &[plain(Home)], Action::List(ListMove::First), "newest"),
    bind(Context::History, &[plain(End)], Action::List(ListMove::Last), "oldest known"),

    bind(Context::Models, &[plain(Enter)], Action::TakeModel, "draw with it; fetch it when it is not here"),
    bind(Context::Models, &[ctrl('x'), plain(Delete)], Action::CancelFetch, "fetch or check it no more; what came is kept"),
    bind(Context::Models, &[ctrl('v')], Action::VerifyModel, "check size and hash of all its files"),
    bind(Context::Models, &[ctrl('d')], Action::RemoveModel, "remove what was fetched of it, after a question"),
    bind(Context::Models, &[ctrl('o')], Action::DescribeModel, "what it is, and the memory that it takes"),
    bind(Context::Models, &[ctrl('w')], Action::LocateModel, "where its files are"),
    bind(Context::Models, &[plain(Backspace)], Action::UnfilterModels, "take back a letter; letters filter"),
    bind(Context::Models, &[plain(Up), ctrl('p')], Action::List(ListMove::Up), "model above"),
    bind(Context::Models, &[plain(Down), ctrl('n')], Action::List(ListMove::Down), "model below"),
    bind(Context::Models, &[plain(PageUp)], Action::List(ListMove::PageUp), "a page up"),
    bind(Context::Models, &[plain(PageDown)], Action::List(ListMove::PageDown), "a page down"),
    bind(Context::Models, &[plain(Home)], Action::List(ListMove::First), "first"),
    bind(Context::Models, &[plain(End)], Action::List(ListMove::Last), "last"),

    bind(Context::Loras, &[plain(Enter)], Action::TakeLora, "draw with it, or without it"),
    bind(Context::Loras, &[plain(Left)], Action::LessLora, "less of it, by 0.05"),
    bind(Context::Loras, &[plain(Right)], Action::MoreLora, "more of it"),
    bind(Context::Loras, &[shift(Left)], Action::MuchLessLora, "much less, by 0.5"),
    bind(Context::Loras, &[shift(Right)], Action::MuchMoreLora, "much more"),
    bind(Context::Loras, &[ctrl('t')], Action::SwitchLora, "switch it off or on; its strength is kept"),
    bind(Context::Loras, &[ctrl('w')], Action::LoraWords, "put its next trigger word into the prompt"),
    bind(Context::Loras, &[plain(Backspace)], Action::UnfilterLoras, "take back a letter; letters filter"),
    bind(Context::Loras, &[plain(Up), ctrl('p')], Action::List(ListMove::Up), "LoRA above"),
    bind(Context::Loras, &[plain(Down), ctrl('n')], Action::List(ListMove::Down), "LoRA below"),
    bind(Context::Loras, &[plain(PageUp)], Action::List(ListMove::PageUp), "a page up"),
    bind(Context::Loras, &[plain(PageDown)], Action::List(ListMove::PageDown), "a page down"),
    bind(Context::Loras, &[plain(Home)], Action::List(ListMove::First), "first"),
    bind(Context::Loras, &[plain(End)], Action::List(ListMove::Last), "last"),

    bind(Context::Prompts, &[plain(Enter)], Action::RestoreAll, "take prompt and parameters of its best picture"),
    bind(Context::Prompts, &[ctrl('p')], Action::RestorePrompt, "take only the prompt"),
    bind(Context::Prompts, &[ctrl('s')], Action::RestoreSeed, "take only the seed"),
    bind(Context::Prompts, &[ctrl('o')], Action::RestoreSettings, "take only model, size, steps, guidance, LoRAs"),
    bind(Context::Prompts, &[plain(Backspace)], Action::Unfilter, "take back a letter; letters search"),
    bind(Context::Prompts, &[plain(Up)], Action::List(ListMove::Up), "prompt above"),
    bind(Context::Prompts, &[plain(Down), ctrl('r'), ctrl('n')], Action::List(ListMove::Down), "prompt below"),
    bind(Context::Prompts, &[plain(PageUp)], Action::List(ListMove::PageUp), "a page up"),
    bind(Context::Prompts, &[plain(PageDown)], Action::List(ListMove::PageDown), "a page down"),
    bind(Context::Prompts, &[plain(Home)], Action::List(ListMove::First), "first"),
    bind(Context::Prompts, &[plain(End)], Action::List(ListMove::Last), "last"),

    bind(Context::Seeds, &[plain(Enter)], Action::TakeSeed, "draw with this seed"),
    bind(Context::Seeds, &[plain(Backspace)], Action::Unfilter, "take back a letter; letters search"),
    bind(Context::Seeds, &[plain(Up), ctrl('p')], Action::List(ListMove::Up), "seed above"),
    bind(Context::Seeds, &[plain(Down), ctrl('n')], Action::List(ListMove::Down), "seed below"),
    bind(Context::Seeds, &[plain(PageUp)], Action::List(ListMove::PageUp), "a page up"),
    bind(Context::Seeds, &[plain(PageDown)], Action::List(ListMove::PageDown), "a page down"),
    bind(Context::Seeds, &[plain(Home)], Action::List(ListMove::First), "first"),
    bind(Context::Seeds, &[plain(End)], Action::List(ListMove::Last), "last"),

    bind(Context::Snippets, &[plain(Enter)], Action::TakeSnippet, "insert it at the cursor"),
    bind(Context::Snippets, &[plain(Backspace)], Action::Unfilter, "take back a letter; letters search"),
    bind(Context::Snippets, &[plain(Up), ctrl('p')], Action::List(ListMove::Up), "snippet above"),
    bind(Context::Snippets, &[plain(Down), ctrl('n')], Action::List(ListMove::Down), "snippet below"),
    bind(Context::Snippets, &[plain(PageUp)], Action::List(ListMove::PageUp), "a page up"),
    bind(Context::Snippets, &[plain(PageDown)], Action::List(ListMove::PageDown), "a page down"),
    bind(Context::Snippets, &[plain(Home)], Action::List(ListMove::First), "first"),
    bind(Context::Snippets, &[plain(End)], Action::List(ListMove::Last), "last"),

    bind(Context::Everywhere, &[alt(KeyCode::Char('a'))], Action::Grid(GridAction::Open), "draw a grid: one or two things changed"),
    bind(Context::Grid, &[plain(Enter)], Action::Grid(GridAction::Draw), "draw the grid"),
    bind(Context::Grid, &[plain(Left)], Action::Grid(GridAction::Before), "another thing to change: the one before"),
    bind(Context::Grid, &[plain(Right)], Action::Grid(GridAction::Next), "the next thing to change"),
    bind(Context::Grid, &[ctrl('o')], Action::Grid(GridAction::Older), "show the contact sheet of the grid before"),
    bind(Context::Grid, &[ctrl('x')], Action::Grid(GridAction::Cancel), "cancel what is not drawn of the grid that is shown"),
    bind(Context::Grid, &[plain(Backspace)], Action::Unfilter, "take back a letter of the values"),
    bind(Context::Grid, &[plain(Up), ctrl('p')], Action::List(ListMove::Up), "row above"),
    bind(Context::Grid, &[plain(Down), ctrl('n')], Action::List(ListMove::Down), "row below"),

    bind(Context::Parameters, &[letter('a')], Action::Sizes(SizesAction::Open), "choose a size by its shape and megapixels"),
    bind(Context::Sizes, &[plain(Enter)], Action::Sizes(SizesAction::Take), "draw in this size"),
    bind(Context::Sizes, &[plain(Left)], Action::Sizes(SizesAction::Fewer), "fewer megapixels"),
    bind(Context::Sizes, &[plain(Right)], Action::Sizes(SizesAction::More), "more megapixels"),
    bind(Context::Sizes, &[plain(Up), ctrl('p')], Action::List(ListMove::Up), "size above"),
    bind(Context::Sizes, &[plain(Down), ctrl('n')], Action::List(ListMove::Down), "size below"),

    bind(Context::Help, &[letter('q')], Action::Escape, "close"),
    bind(Context::Help, &[plain(Up), letter('k')], Action::List(ListMove::Up), "up"),
    bind(Context::Help, &[plain(Down), letter('j')], Action::List(ListMove::Down), "down"),
    bind(Context::Help, &[plain(PageUp)], Action::List(ListMove::PageUp), "a page up"),
    bind(Context::Help, &[plain(PageDown), letter(' ')], Action::List(ListMove::PageDown), "a page down"),
    bind(Context::Help, &[plain(Home)], Action::List(ListMove::First), "beginning"),
    bind(Context::Help, &[plain(End)], Action::List(ListMove::Last), "end"),

    bind(Context::Everywhere, &[alt(KeyCode::Char('x'))], Action::Palette, "find anything by its name, or type a command"),
    bind(Context::Everywhere, &[alt(KeyCode::Char('z'))], Action::Zoom, "this pane alone, or all again"),
    bind(Context::Everywhere, &[plain(KeyCode::F(6))], Action::Arrange, "other layout: automatic, wide, tall, small"),
    bind(Context::Everywhere, &[plain(KeyCode::F(7))], Action::ZoomPreview, "the picture alone, or all again"),
    bind(Context::Everywhere, &[plain(KeyCode::F(8))], Action::Log, "what was told in this session"),
    bind(Context::Everywhere, &[plain(KeyCode::F(9))], Action::Themes, "choose a theme"),
    bind(Context::OutsidePrompt, &[letter(':')], Action::Palette, "find anything by its name, or type a command"),
    bind(Context::OutsidePrompt, &[letter('z')], Action::Zoom, "this pane alone, or all again"),
    bind(Context::OutsidePrompt, &[letter('Z')], Action::ZoomPreview, "the picture alone, or all again"),
    bind(Context::OutsidePrompt, &[letter('M')], Action::ZoomMemory, "memory and load alone, or all again"),
    bind(Context::OutsidePrompt, &[letter('T')], Action::Themes, "choose a theme"),
    bind(Context::OutsidePrompt, &[letter('i')], Action::Focus(Pane::Prompt), "to the prompt"),
    bind(Context::OutsidePrompt, &[letter('L')], Action::NextLanguage, "other language: auto, en, zh"),

    bind(Context::Palette, &[plain(Enter)], Action::TakeCommand, "do it"),
    bind(Context::Palette, &[plain(Backspace)], Action::UnfilterPalette, "take back a letter"),
    bind(Context::Palette, &[ctrl('u'), ctrl('w')], Action::ClearPalette, "take back all letters"),
    bind(Context::Palette, &[plain(Up), ctrl('p')], Action::List(ListMove::Up), "line above"),
    bind(Context::Palette, &[plain(Down), ctrl('n')], Action::List(ListMove::Down), "line below"),
    bind(Context::Palette, &[plain(PageUp)], Action::List(ListMove::PageUp), "a page up"),
    bind(Context::Palette, &[plain(PageDown)], Action::List(ListMove::PageDown), "a page down"),

    bind(Context::Themes, &[plain(Enter)], Action::KeepTheme, "keep it, in config.toml"),
    bind(Context::Themes, &[plain(Up), letter('k')], Action::List(ListMove::Up), "theme above"),
    bind(Context::Themes, &[plain(Down), letter('j')], Action::List(ListMove::Down), "theme below"),
    bind(Context::Themes, &[plain(Home)], Action::List(ListMove::First), "first"),
    bind(Context::Themes, &[plain(End)], Action::List(ListMove::Last), "last"),
    bind(Context::Themes, &[letter('q')], Action::Escape, "as it was before"),

    bind(Context::Log, &[plain(Up), letter('k')], Action::List(ListMove::Up), "earlier"),
    bind(Context::Log, &[plain(Down), letter('j')], Action::List(ListMove::Down), "later"),
    bind(Context::Log, &[plain(PageUp)], Action::List(ListMove::PageUp), "a page earlier"),
    bind(Context::Log, &[plain(PageDown), letter(' ')], Action::List(ListMove::PageDown), "a page later"),
    bind(Context::Log, &[plain(Home)], Action::List(ListMove::First), "the beginning"),
    bind(Context::Log, &[plain(End)], Action::List(ListMove::Last), "the latest"),
    bind(Context::Log, &[letter('q')], Action::Escape, "close"),

    gallery(Context::Everywhere, &[alt(KeyCode::Char('g'))], GalleryAction::Open, "look through the pictures of the library"),
    gallery(Context::OutsidePrompt, &[letter('g')], GalleryAction::Open, "look through the pictures of the library"),
    gallery(Context::History, &[letter('c')], GalleryAction::Mark, "mark it; the second is compared with the first"),
    gallery(Context::History, &[letter('C')], GalleryAction::CompareBefore, "compare it with the one drawn before it"),

    gallery(Context::Gallery, &[plain(Enter)], GalleryAction::View, "the whole picture, the pictures of a grid, or all again"),
    gallery(Context::Gallery, &[plain(Left), letter('h')], GalleryAction::Previous, "newer picture"),
    gallery(Context::Gallery, &[plain(Right), letter('l')], GalleryAction::Next, "older picture"),
    bind(Context::Gallery, &[plain(Up), letter('k')], Action::List(ListMove::Up), "row above"),
    bind(Context::Gallery, &[plain(Down), letter('j')], Action::List(ListMove::Down), "row below"),
    bind(Context::Gallery, &[plain(PageUp)], Action::List(ListMove::PageUp), "a page newer"),
    bind(Context::Gallery, &[plain(PageDown), letter(' ')], Action::List(ListMove::PageDown), "a page older"),
    bind(Context::Gallery, &[plain(Home)], Action::List(ListMove::First), "newest"),
    bind(Context::Gallery, &[plain(End)], Action::List(ListMove::Last), "oldest known"),
    gallery(Context::Gallery, &[letter('/')], GalleryAction::Search, "search: words, rating:4 tag:ink model:nano is:favourite"),
    gallery(Context::Gallery, &[letter('F')], GalleryAction::Favourites, "only favourites, or all"),
    gallery(Context::Gallery, &[letter('R')], GalleryAction::LeastRating, "only those rated 1, 2 ... 5 and better, or all"),
    gallery(Context::Gallery, &[letter('X')], GalleryAction::Trashed, "what is in the trash, or what is not"),
    bind(Context::Gallery, &[letter('f')], Action::Favourite, "make it a favourite, or none"),
    bind(Context::Gallery, &[letter('5')], Action::Rate(5), "rate it 5, the best"),
    bind(Context::Gallery, &[letter('4')], Action::Rate(4), "rate it 4"),
    bind(Context::Gallery, &[letter('3')], Action::Rate(3), "rate it 3"),
    bind(Context::Gallery, &[letter('2')], Action::Rate(2), "rate it 2"),
    bind(Context::Gallery, &[letter('1')], Action::Rate(1), "rate it 1"),
    bind(Context::Gallery, &[letter('0')], Action::Rate(0), "take its rating back"),
    gallery(Context::Gallery, &[letter('t')], GalleryAction::Tags, "its tags"),
    gallery(Context::Gallery, &[letter('d'), plain(Delete)], GalleryAction::Trash, "into the trash, or out of it; the file stays"),
    gallery(Context::Gallery, &[letter('u')], GalleryAction::Undo, "take the last one out of the trash again"),
    gallery(Context::Gallery, &[letter('y')], GalleryAction::CopyPrompt, "copy its prompt to the terminal's clipboard"),
    gallery(Context::Gallery, &[letter('Y')], GalleryAction::CopyPath, "copy its path"),
    gallery(Context::Gallery, &[letter('P')], GalleryAction::Parent, "the picture that it was made from"),
    gallery(Context::Gallery, &[letter('S')], GalleryAction::Sheet, "the contact sheet of the grid, in the preview"),
    gallery(Context::Gallery, &[letter('m')], GalleryAction::MoreLike, "more like it: the same with new seeds, to the queue"),
    gallery(Context::Gallery, &[letter('c')], GalleryAction::Mark, "mark it; the second is compared with the first"),
    gallery(Context::Gallery, &[letter('C')], GalleryAction::CompareBefore, "compare it with the one drawn before it"),
    bind(Context::Gallery, &[letter('r')], Action::RestoreAll, "restore prompt and parameters"),
    bind(Context::Gallery, &[letter('p')], Action::RestorePrompt, "restore only the prompt"),
    bind(Context::Gallery, &[letter('s')], Action::RestoreSeed, "restore only the seed"),
    bind(Context::Gallery, &[letter('o')], Action::RestoreSettings, "restore only model, size, steps, guidance, LoRAs"),
    bind(Context::Gallery, &[letter('?')], Action::Help, "this help"),
    bind(Context::Gallery, &[letter(':')], Action::Palette, "find anything by its name, or type a command"),
    bind(Context::Gallery, &[letter('q')], Action::Escape, "back, and close"),

    gallery(Context::GalleryView, &[letter('+'), letter('=')], GalleryAction::Nearer, "nearer"),
    gallery(Context::GalleryView, &[letter('-')], GalleryAction::Farther, "farther"),
    gallery(Context::GalleryView, &[letter('0')], GalleryAction::Whole, "all of it"),
    gallery(Context::GalleryView, &[plain(Left), letter('h')], GalleryAction::Pan(Direction::Left), "further left; of the whole: newer"),
    gallery(Context::GalleryView, &[plain(Right), letter('l')], GalleryAction::Pan(Direction::Right), "further right; of the whole: older"),
    gallery(Context::GalleryView, &[plain(Up), letter('k')], GalleryAction::Pan(Direction::Up), "further up"),
    gallery(Context::GalleryView, &[plain(Down), letter('j')], GalleryAction::Pan(Direction::Down), "further down"),
    gallery(Context::GalleryView, &[plain(PageUp), letter('N')], GalleryAction::Previous, "newer picture"),
    gallery(Context::GalleryView, &[plain(PageDown), letter('n'), letter(' ')], GalleryAction::Next, "older picture"),

    gallery(Context::Compare, &[letter(' '), plain(Tab)], GalleryAction::Flip, "the other one in the same place"),
    gallery(Context::Compare, &[letter('b')], GalleryAction::Both, "both side by side"),
    gallery(Context::Compare, &[letter('+'), letter('=')], GalleryAction::Nearer, "both nearer"),
    gallery(Context::Compare, &[letter('-')], GalleryAction::Farther, "both farther"),
    gallery(Context::Compare, &[letter('0')], GalleryAction::Whole, "all of both"),
    gallery(Context::Compare, &[plain(Left), letter('h')], GalleryAction::Pan(Direction::Left), "further left"),
    gallery(Context::Compare, &[plain(Right), letter('l')], GalleryAction::Pan(Direction::Right), "further right"),
    gallery(Context::Compare, &[plain(Up), letter('k')], GalleryAction::Pan(Direction::Up), "further up"),
    gallery(Context::Compare, &[plain(Down), letter('j')], GalleryAction::Pan(Direction::Down), "further down"),

    gallery(Context::GalleryLine, &[plain(Enter)], GalleryAction::TakeLine, "do it"),
    gallery(Context::GalleryLine, &[plain(Backspace)], GalleryAction::Erase, "take back a letter"),
    gallery(Context::GalleryLine, &[ctrl('u'), ctrl('w')], GalleryAction::ClearLine, "take back all letters"),
];

#[cfg(test)]
mod tests;
