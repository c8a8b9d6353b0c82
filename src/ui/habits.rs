//! What a person's files say of how the studio looks, speaks and listens: theme and language in `config.toml`, the
//! themes, `keymap.toml`. They are read at the start and whenever they change.

use std::path::{Path, PathBuf};

use toml::de::DeTable;

use super::arrangement::write_whole;
use super::input::registered;
use super::keymap::Keymap;
use super::theme::{Named, Theme};
use crate::config::{Config, LanguageChoice, read_small};
use crate::paths::Paths;

/// What the files say.
#[derive(Debug, Clone, PartialEq)]
pub struct Habits {
    /// The theme by `config.toml`; `None` for one that suits the terminal.
    pub theme: Option<String>,
    /// The language by `config.toml`.
    pub language: LanguageChoice,
    /// Every theme.
    pub themes: Vec<Named>,
    /// What keys mean.
    pub keys: Keymap,
    /// What is wrong with `config.toml` and `keymap.toml`, each with its line.
    pub problems: Vec<String>,
}

impl Habits {
    /// Reads the files.
    #[must_use]
    pub fn read(paths: &Paths) -> Self {
        let (config, mut problems) = Config::load(&paths.config);
        let (keys, of_keys) = Keymap::load(&paths.config);
        problems.extend(of_keys);
        let problems = problems.iter().map(ToString::to_string).collect();
        Self { theme: config.theme, language: config.language, themes: Theme::all(paths), keys, problems }
    }
}

/// Writes a setting, `theme` or `language`, into `config.toml`; all else in it stays as it is, comments too.
///
/// # Errors
/// When the file cannot be read or written, or is no TOML.
pub(super) fn keep(paths: &Paths, setting: &'static str, value: &str) -> Result<(), NotKept> {
    let file = followed(paths.config.join("config.toml"));
    let failed =
        |error: &dyn std::fmt::Display| NotKept { setting, file: file.clone(), error: error.to_string() };
    let text = read_small(&file).map_err(|error| failed(&error))?.unwrap_or_default();
    let new = with_setting(&text, setting, value).map_err(|error| failed(&error))?;
    write_whole(&file, new.as_bytes()).map_err(|error| failed(&error))
}

/// A setting that could not be written; it stays until the studio is left.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NotKept {
    /// `theme` or `language`.
    pub setting: &'static str,
    /// The file.
    pub file: PathBuf,
    /// What is in the way.
    pub error: String,
}

/// Where a link leads: people keep their configuration elsewhere and link to it.
fn followed(file: PathBuf) -> PathBuf {
    std::fs::canonicalize(&file).unwrap_or(file)
}

/// The same text with another value for a setting, or with it as a new first line.
fn with_setting(text: &str, setting: &str, value: &str) -> Result<String, String> {
    let table = DeTable::parse(text).map_err(|error| error.message().to_owned())?;
    let value = toml::Value::String(value.to_owned()).to_string();
    Ok(match table.get_ref().get(setting) {
        Some(old) => {
            let span = old.span();
            format!("{}{value}{}", &text[..span.start], &text[span.end..])
        }
        None => format!("{setting} = {value}\n{text}"),
    })
}

/// Tells when something in the configuration's folder changes. It sleeps until the system says so.
pub(super) struct Watch {
    inotify: tokio::io::unix::AsyncFd<std::os::fd::OwnedFd>,
    folders: [PathBuf; 2],
}

impl Watch {
    /// Begins to watch.
    ///
    /// # Errors
    /// When the system has no more watches to give.
    pub fn start(paths: &Paths) -> std::io::Result<Self> {
        use rustix::fs::inotify::{CreateFlags, init};
        let inotify = init(CreateFlags::CLOEXEC | CreateFlags::NONBLOCK)?;
        let folders = [paths.config.clone(), paths.config.join("themes")];
        let watch = Self { inotify: registered(inotify)?, folders };
        watch.renew()?;
        Ok(watch)
    }

    /// Watches each folder; of one that is not there yet, the folder in which it would appear.
    fn renew(&self) -> std::io::Result<()> {
        use rustix::fs::inotify::{WatchFlags, add_watch};
        // Files are written in place, or elsewhere and then moved here.
        let what = WatchFlags::CLOSE_WRITE
            | WatchFlags::MOVED_TO
            | WatchFlags::MOVED_FROM
            | WatchFlags::CREATE
            | WatchFlags::DELETE;
        for folder in &self.folders {
            let there = folder.ancestors().find(|folder| folder.is_dir()).unwrap_or(Path::new("/"));
            add_watch(self.inotify.get_ref(), there, what)?;
        }
        Ok(())
    }

    /// Waits for a change. Several that come together are one.
    ///
    /// # Errors
    /// When nothing can be watched any more.
    pub async fn changed(&self) -> std::io::Result<()> {
        while !self.taken().await? {}
        self.renew()
    }

    /// Takes what the system tells; whether it is a change.
    async fn taken(&self) -> std::io::Result<bool> {
        use rustix::fs::inotify::{ReadFlags, Reader};
        let mut ready = self.inotify.readable().await?;
        let mut buffer = [std::mem::MaybeUninit::uninit(); 4096];
        let mut reader = Reader::new(self.inotify.get_ref(), &mut buffer);
        let mut changed = false;
        loop {
            match reader.next() {
                // A file that was made a moment ago is still empty; a folder may have all in it.
                Ok(event) => {
                    let made = event.events().contains(ReadFlags::CREATE);
                    changed |= !made || event.events().contains(ReadFlags::ISDIR);
                }
                Err(rustix::io::Errno::WOULDBLOCK) => break,
                Err(rustix::io::Errno::INTR) => {}
                Err(error) => return Err(error.into()),
            }
        }
        ready.clear_ready();
        Ok(changed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ui::language::Language;

    #[test]
    fn the_theme_is_written_and_all_else_stays() {
        let text = "# mine\ntheme   = 'dark' # for the night\n\n[defaults] # jobs\nsteps = 4\n";
        let new = with_setting(text, "theme", "paper").expect("TOML");
        assert_eq!(new, "# mine\ntheme   = \"paper\" # for the night\n\n[defaults] # jobs\nsteps = 4\n");
        let new = with_setting("[defaults]\nsteps = 4 # few\n", "theme", "a \"b\"").expect("TOML");
        assert_eq!(Config::parse(&new, Path::new("c")).0.theme.as_deref(), Some("a \"b\""));
        assert!(new.ends_with("[defaults]\nsteps = 4 # few\n"), "{new}");
        assert_eq!(with_setting("", "theme", "dark").as_deref(), Ok("theme = \"dark\"\n"));
        let both = with_setting("theme = \"dark\"\n", "language", "zh");
        assert_eq!(both.as_deref(), Ok("language = \"zh\"\ntheme = \"dark\"\n"));
        assert!(with_setting("theme = \n", "theme", "dark").is_err(), "a broken file is left alone");
    }

    #[test]
    fn a_linked_file_stays_a_link_and_a_broken_one_is_told_of() {
        let root = tempfile::tempdir().expect("a temporary directory");
        let paths = Paths::under(root.path());
        keep(&paths, "theme", "paper").expect("the folder is made");
        assert_eq!(Habits::read(&paths).theme.as_deref(), Some("paper"));
        let kept = root.path().join("dotfile");
        std::fs::rename(paths.config.join("config.toml"), &kept).expect("it is moved");
        std::os::unix::fs::symlink(&kept, paths.config.join("config.toml")).expect("a link");
        keep(&paths, "theme", "lagoon").expect("it is written");
        assert!(paths.config.join("config.toml").is_symlink());
        assert_eq!(std::fs::read_to_string(&kept).expect("a file"), "theme = \"lagoon\"\n");
        std::fs::write(&kept, "theme = ").expect("a file can be written");
        let told = keep(&paths, "theme", "dark").expect_err("no TOML");
        assert!(told.setting == "theme" && told.file.ends_with("dotfile"), "{told:?}");
        let said = Language::English.not_kept(&told);
        assert!(said.contains("the theme is not kept") && said.contains("dotfile"), "{said}");
        assert_eq!(std::fs::read_to_string(&kept).expect("a file"), "theme = ");
    }

    #[test]
    fn everything_wrong_is_told_at_once() {
        let root = tempfile::tempdir().expect("a temporary directory");
        let paths = Paths::under(root.path());
        std::fs::create_dir_all(&paths.config).expect("a folder");
        std::fs::write(paths.config.join("config.toml"), "colour = 1\ntheme = \"paper\"\n").expect("a file");
        std::fs::write(paths.config.join("keymap.toml"), "[nowhere]\n").expect("a file");
        let habits = Habits::read(&paths);
        assert_eq!(habits.theme.as_deref(), Some("paper"));
        assert_eq!(habits.problems.len(), 2, "{:?}", habits.problems);
        assert!(habits.problems[1].contains("keymap.toml, line 1"), "{:?}", habits.problems);
    }

    #[test]
    fn a_change_is_seen_also_in_folders_that_come_later() {
        let root = tempfile::tempdir().expect("a temporary directory");
        let paths = Paths::under(root.path());
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
        runtime.block_on(async {
            let watch = Watch::start(&paths).expect("there are watches");
            let seen = || async {
                let wait = tokio::time::timeout(std::time::Duration::from_secs(60), watch.changed());
                wait.await.expect("it is seen").expect("it can be watched");
            };
            std::fs::create_dir_all(paths.config.join("themes")).expect("a folder");
            seen().await;
            std::fs::write(paths.config.join("themes/mine.toml"), "").expect("a file");
            seen().await;
            write_whole(&paths.config.join("keymap.toml"), b"").expect("a file");
            seen().await;
        });
    }
}
