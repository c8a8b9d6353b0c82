//! The prompt in a person's own editor: the terminal goes there and comes back, and a failing editor changes nothing.

use super::{Home, open_with};

/// Takes a line from the keyboard and puts it behind the prompt; `fail` makes it fail.
const EDITOR: &str = "#!/bin/sh
stat -c '%a %F' \"$1\" \"$(dirname \"$1\")\" > \"$HOME/modes\"
echo . >> \"$HOME/times\"
echo \"EDITOR $(wc -l < \"$HOME/times\")\"
read -r line
test \"$line\" = fail && exit 3
printf '%s, %s\\n' \"$(cat \"$1\")\" \"$line\" > \"$1\"
";

#[test]
fn the_editor_has_the_terminal_until_it_ends() {
    use std::os::unix::fs::PermissionsExt as _;
    let home = Home::new();
    let script = home.path().join("my editor");
    std::fs::write(&script, EDITOR).expect("there is room");
    std::fs::set_permissions(&script, std::fs::Permissions::from_mode(0o755)).expect("it is ours");
    let temporary = home.path().join("tmp");
    std::fs::create_dir(&temporary).expect("a folder");
    let mut studio = open_with(&home, |command| {
        command.env("VISUAL", "\"$HOME/my editor\"");
        command.env("TMPDIR", &temporary);
    });
    studio.see("Nothing to set up");
    studio.type_keys("a red fox");
    studio.see("a red fox");
    studio.type_keys("\x1bOS");
    studio.see("EDITOR 1");
    studio.type_keys("in snow\r");
    studio.see("a red fox, in snow");
    studio.see("Nothing to set up");
    let modes = std::fs::read_to_string(home.path().join("modes")).expect("the editor ran");
    assert_eq!(modes, "600 regular file\n700 directory\n");

    // One that fails, and one that is interrupted: the prompt stays, and so does the studio.
    for (times, keys, told) in [(2, "fail\r", "exit status: 3"), (3, "\x03", "signal: 2")] {
        studio.type_keys("\x1bOS");
        studio.see(&format!("EDITOR {times}"));
        studio.type_keys(keys);
        studio.see(told);
        studio.type_keys("\x1b");
        studio.until("the prompt without a notice", |screen| {
            let text = screen.contents();
            (text.contains("a red fox, in snow") && !text.contains(told)).then_some(())
        });
    }
    studio.type_keys("!");
    studio.see("a red fox, in snow!");
    studio.type_keys("\x03");
    assert_eq!(studio.ended(), 0);
    let left = std::fs::read_dir(&temporary).expect("it is there").count();
    assert_eq!(left, 0, "nothing of the prompt is left");
}
