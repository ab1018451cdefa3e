//! `ImportIdentities`: people and their accounts from a CSV file.
//!
//! ```text
//! bytes (16 MiB at most) -> sheet (blocking thread) -> audit: hash and counts -> people, some rows a transaction
//!                        -> correlate -> summary
//! ```
//!
//! An import adds and changes, and never removes: a row that is missing from a later file leaves what stands. The same
//! file again changes nothing. What an analyst linked or unlinked stays so. Where the server stops in the middle,
//! the same file again does the rest.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use data_encoding::HEXLOWER;
use sha2::{Digest, Sha256};
use tocsin_proto::console::v1 as wire;
use tocsin_proto::console::v1::import_identities_request::Message;
use tocsin_proto::id::{EndpointId, IdentityId};
use tocsin_proto::limits::{IMPORT_PROBLEMS_MAX, TEXT_BYTES_MAX};
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Request, Response, Status, Streaming};

use super::{Answer, Context};
use crate::clock::now_ms;
use crate::import::TRIES;
use crate::import::people::{groups, keys};
use crate::people::sheet::{self, FILE_BYTES_MAX, Sheet, SheetRow};
use crate::people::{BY_IMPORT, CERTAIN, IMPORT_PROVIDER};
use crate::rpc::Replies;
use crate::rpc::auth::{Caller, Method};
use crate::rpc::status::ErrorCode;
use crate::store::StoreError;
use crate::store::case::{AccountRow, CaseError, IdentityGroup, LinkRow};
use crate::store::people::{PersonImport, PersonImported};

/// Messages that wait for the caller.
const REPLIES_MAX: usize = 1;

/// A caller that sends nothing for so long has given up.
const PIECE_TIMEOUT: Duration = Duration::from_secs(60);

/// Rows in one transaction.
const ROWS_TOGETHER: usize = 200;

/// First the header, then the file's bytes; the summary at the end.
pub(super) async fn import(
    context: &Arc<Context>,
    request: Request<Streaming<wire::ImportIdentitiesRequest>>,
) -> Answer<Replies<wire::ImportIdentitiesResponse>> {
    let caller = context
        .auth
        .authorize(&request, Method::ImportIdentities)
        .await?;
    let mut pieces = request.into_inner();
    let Some(Message::Header(header)) = next(&mut pieces).await? else {
        return Err(ErrorCode::Invalid.status("an import begins with its header"));
    };
    if header.file_name.len() > TEXT_BYTES_MAX {
        let why = format!("file_name may have at most {TEXT_BYTES_MAX} bytes");
        return Err(ErrorCode::Invalid.status(why));
    }
    let (replies, receiver) = mpsc::channel(REPLIES_MAX);
    let context = Arc::clone(context);
    tokio::spawn(async move {
        let work = async {
            let _turn = context.imports.acquire().await;
            let file = take(pieces).await?;
            let import = Import::new(&context, &caller);
            import.run(&header.file_name, file).await
        };
        let end = tokio::select! {
            end = work => end,
            () = replies.closed() => return,
            () = context.stopping.cancelled() => {
                Err(ErrorCode::Unavailable.status("the server is stopping: import the file again"))
            }
        };
        // Whoever has gone already does not need to know.
        let _gone = replies.send(end).await;
    });
    Ok(Response::new(Box::pin(ReceiverStream::new(receiver))))
}

/// The next message, which must come in time; `None` at the end.
async fn next(
    pieces: &mut Streaming<wire::ImportIdentitiesRequest>,
) -> Result<Option<Message>, Status> {
    let next = tokio::time::timeout(PIECE_TIMEOUT, pieces.message()).await;
    let next =
        next.map_err(|_| ErrorCode::Invalid.status("the import's next piece did not come"))?;
    Ok(next?.and_then(|piece| piece.message))
}

/// The whole file.
async fn take(mut pieces: Streaming<wire::ImportIdentitiesRequest>) -> Result<Vec<u8>, Status> {
    let mut file = Vec::new();
    while let Some(message) = next(&mut pieces).await? {
        let Message::Chunk(chunk) = message else {
            return Err(ErrorCode::Invalid.status("an import has one header"));
        };
        if file.len() + chunk.len() > FILE_BYTES_MAX {
            let why = format!(
                "the file has more than {} MiB: split it",
                FILE_BYTES_MAX >> 20
            );
            return Err(ErrorCode::Invalid.status(why));
        }
        file.extend(chunk);
    }
    Ok(file)
}

/// One import.
struct Import<'a> {
    context: &'a Context,
    caller: &'a Caller,
    /// Endpoints as the file calls them, each looked for once.
    endpoints: BTreeMap<String, Result<(EndpointId, bool), String>>,
    summary: wire::IdentitiesImported,
    problems: Vec<(u64, String)>,
    people: BTreeSet<IdentityId>,
    new_people: BTreeSet<IdentityId>,
}

impl<'a> Import<'a> {
    fn new(context: &'a Context, caller: &'a Caller) -> Self {
        Self {
            context,
            caller,
            endpoints: BTreeMap::new(),
            summary: wire::IdentitiesImported::default(),
            problems: Vec::new(),
            people: BTreeSet::new(),
            new_people: BTreeSet::new(),
        }
    }

    async fn run(
        mut self,
        file_name: &str,
        file: Vec<u8>,
    ) -> Result<wire::ImportIdentitiesResponse, Status> {
        let bytes_read = file.len() as u64;
        self.summary.file_sha256 = HEXLOWER.encode(&Sha256::digest(&file));
        let sheet = tokio::task::spawn_blocking(move || sheet::read(&file)).await;
        let sheet = sheet
            .map_err(|_| ErrorCode::Internal.status("reading the file has failed"))?
            .map_err(|error| ErrorCode::Invalid.status(error.to_string()))?;
        self.record(file_name, &sheet).await?;
        self.summary.rows = sheet.rows_read;
        self.summary.refused = sheet.problems.len() as u64;
        self.problems = sheet.problems;
        // Accounts that have come so far can be linked at once.
        self.context.accounts.settle().await?;
        let tally = self.context.correlator.tally();
        for rows in sheet.rows.chunks(ROWS_TOGETHER) {
            self.store(rows).await?;
            tally.watch(self.people.iter().copied());
        }
        self.context.correlator.settle().await?;
        (
            self.summary.incidents_opened,
            self.summary.incidents_updated,
        ) = tally.counts();
        self.summary.identities_added = self.new_people.len() as u64;
        self.problems.sort_by_key(|(line, _)| *line);
        self.problems.truncate(IMPORT_PROBLEMS_MAX);
        let problems = self.problems.into_iter();
        self.summary.problems = problems
            .map(|(line, reason)| wire::ImportProblem { line, reason })
            .collect();
        Ok(wire::ImportIdentitiesResponse {
            bytes_read,
            summary: Some(self.summary),
        })
    }

    /// Into the audit log before anything is changed.
    async fn record(&self, file_name: &str, sheet: &Sheet) -> Result<(), StoreError> {
        let detail = format!(
            "SHA-256 {}, {} rows, {} of them malformed",
            self.summary.file_sha256,
            sheet.rows_read,
            sheet.problems.len()
        );
        let audit = &self.context.audit;
        audit
            .allowed(self.caller, Method::ImportIdentities, file_name, &detail)
            .await
    }

    /// Writes some rows, and counts what became of them.
    async fn store(&mut self, rows: &[SheetRow]) -> Result<(), StoreError> {
        let mut links = Vec::with_capacity(rows.len());
        for row in rows {
            links.push(self.link(row).await?);
        }
        let done = self.write(rows, &links).await?;
        for ((row, link), done) in rows.iter().zip(links).zip(done) {
            let mut reasons = done.refused;
            reasons.extend(link.err());
            self.summary.links_added += done.links;
            let count = match (reasons.is_empty(), done.is_changed) {
                (false, _) => &mut self.summary.refused,
                (true, true) => &mut self.summary.changed,
                (true, false) => &mut self.summary.unchanged,
            };
            *count += 1;
            let named = reasons.into_iter().map(|reason| (row.line, reason));
            self.problems.extend(named);
            // More are not named anyway.
            self.problems.truncate(2 * IMPORT_PROBLEMS_MAX);
        }
        Ok(())
    }

    /// Resolves the rows' people and writes them in one transaction.
    async fn write(
        &mut self,
        rows: &[SheetRow],
        links: &[Result<Option<LinkRow>, String>],
    ) -> Result<Vec<PersonImported>, StoreError> {
        let state = &self.context.state;
        let accounts: BTreeSet<AccountRow> = rows.iter().flat_map(accounts).collect();
        let keys = keys(&accounts);
        for _ in 0..TRIES {
            let groups = groups(&state.groups(&keys).await?, &accounts);
            let by_account: BTreeMap<&AccountRow, &IdentityGroup> = groups
                .iter()
                .flat_map(|group| group.accounts.iter().map(move |account| (account, group)))
                .collect();
            let person = |(row, link): (&SheetRow, &Result<Option<LinkRow>, String>)| {
                let account = accounts_of(row);
                let group = by_account.get(&account)?;
                Some(self.person(row, (*group).clone(), link))
            };
            let people: Vec<PersonImport> = rows.iter().zip(links).filter_map(person).collect();
            match state.import_people(&people).await {
                Ok(done) => {
                    for (one, done) in people.iter().zip(&done) {
                        self.people.insert(one.group.id);
                        if done.is_new {
                            self.new_people.insert(one.group.id);
                        }
                    }
                    return Ok(done);
                }
                Err(CaseError::Changed) => {}
                Err(CaseError::Store(error)) => return Err(error),
            }
        }
        Err(StoreError::State {
            what: "import",
            id: String::new(),
            why: "meets others that change the same people: try again",
        })
    }

    fn person(
        &self,
        row: &SheetRow,
        group: IdentityGroup,
        link: &Result<Option<LinkRow>, String>,
    ) -> PersonImport {
        PersonImport {
            group,
            name: row.name.clone(),
            privileged: row.privileged,
            claim: row.endpoint.is_empty().then(|| row.claim.clone()),
            link: link.clone().unwrap_or_default(),
            said_by: self.caller.analyst().to_owned(),
        }
    }

    /// The link that a row with an endpoint says, or why there is none.
    async fn link(
        &mut self,
        row: &SheetRow,
    ) -> Result<Result<Option<LinkRow>, String>, StoreError> {
        if row.endpoint.is_empty() {
            return Ok(Ok(None));
        }
        let (endpoint, is_windows) = match self.endpoint(&row.endpoint).await? {
            Ok(found) => found,
            Err(why) => return Ok(Err(why)),
        };
        let claim = &row.claim;
        let uid = match (is_windows, claim.sid.as_str(), claim.uid.as_str()) {
            (true, "", _) => "",
            (true, sid, _) | (false, sid, "") => sid,
            (false, _, uid) => uid,
        };
        let user = match (row.user.as_str(), uid) {
            ("", "") => &claim.upn,
            (user, _) => user,
        };
        if user.is_empty() && uid.is_empty() {
            let why = "an endpoint, but no account of it: sam_account_name, uid, sid or upn";
            return Ok(Err(why.to_owned()));
        }
        Ok(Ok(Some(LinkRow {
            endpoint,
            user: user.to_owned(),
            uid: uid.to_owned(),
            source: BY_IMPORT.to_owned(),
            confidence: CERTAIN.to_owned(),
            linked_by: self.caller.analyst().to_owned(),
            reason: String::new(),
            linked_time_ms: now_ms(),
        })))
    }

    /// The endpoint that a text means, and whether it runs Windows; why none where it means none.
    async fn endpoint(
        &mut self,
        text: &str,
    ) -> Result<Result<(EndpointId, bool), String>, StoreError> {
        if let Some(found) = self.endpoints.get(text) {
            return Ok(found.clone());
        }
        let state = &self.context.state;
        let found = match state.find_endpoint(text).await {
            Ok(id) => Ok((id, state.endpoint(id).await?.machine.os == "windows")),
            Err(error @ (StoreError::NotFound { .. } | StoreError::Ambiguous { .. })) => {
                Err(error.to_string())
            }
            Err(error) => return Err(error),
        };
        self.endpoints.insert(text.to_owned(), found.clone());
        Ok(found)
    }
}

/// The account by which a row's person is found.
fn accounts_of(row: &SheetRow) -> AccountRow {
    account(row, row.addresses.first())
}

fn account(row: &SheetRow, login: Option<&String>) -> AccountRow {
    AccountRow {
        provider: IMPORT_PROVIDER.to_owned(),
        provider_id: row.addresses.first().cloned().unwrap_or_default(),
        login: login.cloned().unwrap_or_default(),
    }
}

/// A row's addresses as accounts that are one person's.
fn accounts(row: &SheetRow) -> impl Iterator<Item = AccountRow> {
    row.addresses.iter().map(|login| account(row, Some(login)))
}
