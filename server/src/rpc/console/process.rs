//! `ListProcesses`: what runs on an endpoint, as far as its stored events tell.

use std::sync::Arc;

use tocsin_proto::console::v1 as wire;
use tocsin_proto::event::{parent_key, process_key};
use tocsin_proto::id::BootId;
use tocsin_proto::telemetry::v1::Process;
use tonic::{Request, Response};

use super::{Answer, Context, event, fit, page_size};
use crate::rpc::auth::Method;
use crate::rpc::status::ErrorCode;
use crate::search::process::process_table;

/// `ListProcesses`. By pid; a page's token is the pid it ended with, so that a process which ends between two pages
/// moves no other.
pub(super) async fn list(
    context: &Arc<Context>,
    request: Request<wire::ListProcessesRequest>,
) -> Answer<wire::ListProcessesResponse> {
    context
        .auth
        .authorize(&request, Method::ListProcesses)
        .await?;
    let request = request.into_inner();
    let endpoint = context.state.find_endpoint(&request.endpoint).await?;
    let after = match request.page_token.as_str() {
        "" => 0,
        token => token
            .parse()
            .map_err(|_| ErrorCode::Invalid.status("page_token is not one of this method"))?,
    };
    let Some(table) = process_table(&context.telemetry, endpoint).await? else {
        return Ok(Response::new(wire::ListProcessesResponse::default()));
    };
    let size = usize::try_from(page_size(request.page_size)).unwrap_or(usize::MAX);
    let start = table
        .processes
        .partition_point(|process| process.pid <= after);
    let rest = table.processes.len() - start;
    let boot = table.boot;
    let page = table.processes.into_iter().skip(start).take(size);
    let mut processes: Vec<_> = page.map(|process| row(boot, process)).collect();
    let is_cut = fit(&mut processes);
    let next_page_token = match processes.last() {
        Some(last) if is_cut || rest > size => last.pid.to_string(),
        _ => String::new(),
    };
    Ok(Response::new(wire::ListProcessesResponse {
        processes,
        next_page_token,
        as_of_time_ms: table.as_of_time_ms,
    }))
}

fn row(boot: BootId, process: Process) -> wire::ProcessRow {
    let key = process_key(boot, &process).to_string();
    let parent_key = parent_key(boot, &process);
    let user = process.user.unwrap_or_default();
    wire::ProcessRow {
        id: key.clone(),
        pid: process.pid,
        key,
        parent_pid: parent_key.map(|key| key.pid).unwrap_or_default(),
        parent_key: parent_key.map(|key| key.to_string()).unwrap_or_default(),
        user: user.name,
        uid: user.uid,
        start_time_ms: process.start_time_ms,
        argv: process.argv,
        argv_state: event::argv_state_word(process.argv_state).to_owned(),
        executable: process.executable,
        executable_sha256: data_encoding::HEXLOWER.encode(&process.executable_sha256),
    }
}
