//! Every role that something on the screen can have.

macro_rules! roles {
    ($($(#[$doc:meta])* $role:ident = $name:literal,)*) => {
        /// What something on the screen is; a theme says how it looks.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        pub enum Role {
            $($(#[$doc])* $role,)*
        }

        impl Role {
            /// Every role.
            pub const ALL: [Self; [$($name),*].len()] = [$(Self::$role),*];

            /// Its name in a theme's file.
            #[must_use]
            pub fn name(self) -> &'static str {
                match self { $(Self::$role => $name,)* }
            }
        }
    };
}

roles! {
    /// The whole screen, under everything else.
    Screen = "screen",
    /// What is read.
    Text = "text",
    /// What is read second: labels, units, empty states.
    Dim = "dim",
    /// What is happening, and what is chosen.
    Accent = "accent",
    /// What is wrong.
    Error = "error",
    /// What needs a look.
    Warning = "warning",
    /// Borders of panes.
    Border = "border",
    /// The border of the pane that has the keys.
    BorderFocused = "border-focused",
    /// Titles of panes.
    Title = "title",
    /// The title of the pane that has the keys.
    TitleFocused = "title-focused",
    /// The chosen row of a list, the chosen field.
    Selection = "selection",
    /// The part of the prompt that no encoder reads.
    Unread = "unread",
    /// Keys in hints and in the help.
    Key = "key",
    /// Memory that the worker uses.
    MemoryOurs = "memory-ours",
    /// Memory that others use.
    MemoryOthers = "memory-others",
    /// Memory that is free.
    MemoryFree = "memory-free",
    /// The history line.
    Spark = "spark",
}
