//! Everything that a key can mean.

use super::editor::Motion;
use super::pane::Pane;
use super::picture::Direction;

/// What a person wants.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Action {
    /// Draw the prompt with the parameters.
    Draw,
    /// Draw it with a new random seed, whatever the seed field says.
    DrawAgain,
    /// Draw it with the seed that was drawn last.
    DrawSameSeed,
    /// Draw it with the seed after that.
    DrawNextSeed,
    /// Show the prompts of the library.
    Prompts,
    /// Show the seeds that were tried for the prompt.
    Seeds,
    /// Draw with the chosen seed.
    TakeSeed,
    /// Show the snippets.
    Snippets,
    /// Put the chosen snippet into the prompt.
    TakeSnippet,
    /// Change the prompt in the person's own editor.
    EditElsewhere,
    /// Take back a letter of what the open list is filtered by.
    Unfilter,
    /// Close what is open, dismiss an error, or cancel the running job: the first that applies.
    Escape,
    /// Keys go to the next pane.
    NextPane,
    /// Keys go to the pane before.
    PreviousPane,
    /// Show or hide the help.
    Help,
    /// Show or hide the models.
    Models,
    /// Draw with the chosen model, or have it fetched after a question.
    TakeModel,
    /// Fetch or check the chosen model no more.
    CancelFetch,
    /// Compare the files of the chosen model with what was published.
    VerifyModel,
    /// Remove the chosen model after a question.
    RemoveModel,
    /// Show or hide what the chosen model is.
    DescribeModel,
    /// Show or hide where its files are.
    LocateModel,
    /// Take back a letter of what the models are filtered by.
    UnfilterModels,
    /// Show or hide the LoRAs.
    Loras,
    /// Take the chosen LoRA into the draft, or out of it.
    TakeLora,
    /// Switch the chosen LoRA of the draft off, or on again.
    SwitchLora,
    /// A bit less of the chosen LoRA.
    LessLora,
    /// A bit more of it.
    MoreLora,
    /// Much less.
    MuchLessLora,
    /// Much more.
    MuchMoreLora,
    /// Put its trigger words into the prompt.
    LoraWords,
    /// Take back a letter of what the LoRAs are filtered by.
    UnfilterLoras,
    /// Connect to the worker now, while it is waited for the next try.
    Reconnect,
    /// Have a worker of another version finish what it has begun, and end.
    ReplaceWorker,
    /// Leave; the worker goes on.
    Quit,
    /// Back to the shell for now.
    Suspend,
    /// Draw the screen anew and ask the terminal again what it is.
    Repaint,
    /// Change the prompt.
    Edit(Edit),
    /// Change the parameters.
    Field(FieldAction),
    /// Move in a list, or in the help.
    List(ListMove),
    /// Let new jobs hold less of the card's memory.
    LessMemory,
    /// Let them hold more.
    MoreMemory,
    /// Let go of the models that nothing is drawn with.
    FreeMemory,
    /// Cancel the chosen job.
    DropJob,
    /// Draw the chosen job before the one before it.
    MoveJobUp,
    /// Draw it after the one after it.
    MoveJobDown,
    /// Draw it before all others.
    MoveJobFirst,
    /// Draw it after all others.
    MoveJobLast,
    /// Draw what is missing of the chosen job, which failed.
    RetryJob,
    /// Takes a waiting job into the prompt, to change it.
    EditJob,
    /// Add a job like the chosen one.
    DuplicateJob,
    /// Begin nothing more, or go on.
    PauseQueue,
    /// Take prompt and parameters of the chosen picture.
    RestoreAll,
    /// Take only its words.
    RestorePrompt,
    /// Take only its seed.
    RestoreSeed,
    /// Take only model, size, steps, guidance and LoRAs.
    RestoreSettings,
    /// Say how good the chosen picture is, 0 to 5.
    Rate(u8),
    /// Make the chosen picture a favourite, or none any more.
    Favourite,

    /// Give the keys to a pane.
    Focus(Pane),
    /// Show or hide the palette, in which everything is found by its name.
    Palette,
    /// Do what is chosen in it.
    TakeCommand,
    /// Take back a letter of what is typed there.
    UnfilterPalette,
    /// Take back all of it.
    ClearPalette,
    /// Show or hide the themes.
    Themes,
    /// Keep the theme that is shown.
    KeepTheme,
    /// Show the pane that has the keys and nothing else, or all panes again.
    Zoom,
    /// Show the picture and nothing else.
    ZoomPreview,
    /// Show memory and load and nothing else.
    ZoomMemory,
    /// Arrange the panes otherwise.
    Arrange,
    /// Show or hide what was told in this session.
    Log,

    /// Speak another language.
    NextLanguage,
    /// Look through the pictures of the library, or compare two.
    Gallery(GalleryAction),
    /// Draw a grid, or show one.
    Grid(GridAction),
    /// Choose a size by its shape.
    Sizes(SizesAction),
}

/// What can be done in the list of sizes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SizesAction {
    /// Show it.
    Open,
    /// Draw in the chosen size.
    Take,
    /// More megapixels.
    More,
    /// Fewer.
    Fewer,
}

/// What can be done about grids.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum GridAction {
    /// Show or hide the form.
    Open,
    /// Draw what the form says.
    Draw,
    /// Another parameter for the axis: the one before.
    Before,
    /// The next.
    Next,
    /// Show the contact sheet of the grid before the one that is shown.
    Older,
    /// Cancel what is not drawn yet of the grid that is shown.
    Cancel,
}

/// What can be done in the gallery, and with what is compared.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum GalleryAction {
    /// Show or hide it.
    Open,
    /// Show the chosen picture whole, or all again.
    View,
    /// The next picture, which is older.
    Next,
    /// The picture before it.
    Previous,
    /// Say in a line which pictures.
    Search,
    /// Only favourites, or all.
    Favourites,
    /// Only those that are rated one better, or all again.
    LeastRating,
    /// What is in the trash, or what is not.
    Trashed,
    /// Say in a line which tags the picture has.
    Tags,
    /// Do what the line says.
    TakeLine,
    /// Take back a letter of the line.
    Erase,
    /// Take back all of it.
    ClearLine,
    /// Put the picture into the trash, or take it out.
    Trash,
    /// Take the last picture out of the trash again.
    Undo,
    /// Put its prompt on the clipboard.
    CopyPrompt,
    /// Put its path there.
    CopyPath,
    /// Show the picture that it was made from.
    Parent,
    /// Show the contact sheet of the grid in the preview.
    Sheet,
    /// Draw more of the same with other seeds.
    MoreLike,
    /// Mark it; the second that is marked is compared with the first.
    Mark,
    /// Compare it with the one that was drawn before it.
    CompareBefore,
    /// The other of the two in the same place.
    Flip,
    /// Both side by side.
    Both,
    /// Nearer.
    Nearer,
    /// Farther.
    Farther,
    /// All of it.
    Whole,
    /// Another part of it.
    Pan(Direction),
}

/// A change of the prompt, or of the cursor in it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Edit {
    /// Move the cursor.
    Move(Motion),
    /// Delete from the cursor to where a motion leads.
    Delete(Motion),
    /// A line end.
    Newline,
    /// Take the last change back.
    Undo,
    /// Make it again.
    Redo,
}

/// A change of the parameters.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FieldAction {
    /// To the field above.
    Up,
    /// To the field below.
    Down,
    /// A bit less.
    Less,
    /// A bit more.
    More,
    /// Much less.
    MuchLess,
    /// Much more.
    MuchMore,
    /// Take back a typed character.
    Backspace,
    /// A random seed.
    RandomSeed,
    /// The seed goes up after each job, or stays.
    CountSeed,
}

/// A move in a list.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ListMove {
    /// One up.
    Up,
    /// One down.
    Down,
    /// Many up.
    PageUp,
    /// Many down.
    PageDown,
    /// To the first.
    First,
    /// To the last.
    Last,
}
