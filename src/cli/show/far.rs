//! A picture of another machine's library, by its path or its file's name.

use std::path::{Path, PathBuf};

use crate::cli::failure::Failure;
use crate::client::{Asking, Client, ClientError, Endpoint};
use crate::job::Picture;
use crate::wire::message::{HistoryPage, Request, Response};

/// Pictures that are asked for at once.
const PAGE: u32 = 500;

/// The picture's path there, and its file.
///
/// # Errors
/// When that library has no such picture, or its worker cannot be reached.
pub(super) async fn fetch(at: &Endpoint, asked: &Path) -> Result<(PathBuf, Vec<u8>), Failure> {
    let (client, _) = at.connect_or_start(Asking::Here).await?;
    let picture = find(&client, asked).await?;
    let no_such = || Failure::NoFarPicture {
        picture: asked.display().to_string(),
        host: at.host().map_or_else(String::new, ToString::to_string),
    };
    let picture = picture.ok_or_else(no_such)?;
    match client.call(Request::Fetch(picture.id)).await? {
        Response::Png(png) => Ok((picture.path, png.to_vec())),
        _ => Err(ClientError::Unexpected.into()),
    }
}

/// The newest picture of that path or name.
async fn find(client: &Client, asked: &Path) -> Result<Option<Picture>, Failure> {
    let is_it = |picture: &Picture| {
        picture.path == asked || picture.path.file_name().is_some_and(|name| name == asked.as_os_str())
    };
    let mut before = None;
    loop {
        let page = HistoryPage { before, limit: PAGE };
        let Response::History(pictures) = client.call(Request::History(page)).await? else {
            return Err(ClientError::Unexpected.into());
        };
        let Some(last) = pictures.last() else { return Ok(None) };
        before = Some(last.id);
        if let Some(found) = pictures.into_iter().find(is_it) {
            return Ok(Some(found));
        }
    }
}
