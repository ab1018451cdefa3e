//! Devices: what providers call endpoints: bind, unbind, import.

use std::collections::BTreeMap;
use std::sync::Arc;

use data_encoding::HEXLOWER;
use sha2::{Digest, Sha256};
use tocsin_proto::console::v1 as wire;
use tocsin_proto::id::EndpointId;
use tocsin_proto::limits::{IMPORT_PROBLEMS_MAX, TEXT_BYTES_MAX};
use tonic::{Request, Response, Status};

use super::identity::{BY_ANALYST, Hostnames, bounded_reason};
use super::{Answer, Context, endpoint};
use crate::audit::AuditEntry;
use crate::clock::now_ms;
use crate::people::device::{self, DeviceId, Devices, FILE_BYTES_MAX};
use crate::people::{BY_IMPORT, CERTAIN};
use crate::rpc::auth::{Caller, Method};
use crate::rpc::status::ErrorCode;
use crate::store::StoreError;
use crate::store::device::{DeviceImported, DeviceRow};

/// Rows in one transaction.
const ROWS_TOGETHER: usize = 200;

/// `BindDevice`: an endpoint has this id at a provider.
pub(super) async fn bind(
    context: &Arc<Context>,
    request: Request<wire::BindDeviceRequest>,
) -> Answer<wire::Endpoint> {
    let caller = context.auth.authorize(&request, Method::BindDevice).await?;
    let request = request.into_inner();
    let device = parse(&request.provider, &request.device_id)?;
    let reason = bounded_reason(&request.reason)?;
    let endpoint = context.state.find_endpoint(&request.endpoint).await?;
    let moved = match request.r#move {
        true => ", from whichever has it",
        false => "",
    };
    let (provider, id) = (device.provider.word(), &device.id);
    let detail = format!("{id} at {provider}{moved}: {reason}");
    let target = endpoint.to_string();
    let entry = AuditEntry::allowed(&caller, Method::BindDevice, &target, &detail);
    let row = row(endpoint, device, (BY_ANALYST, &caller, reason));
    let state = &context.state;
    state.bind_device(&row, request.r#move, &entry).await?;
    // The caller sees incidents that know of it.
    context.correlator.settle().await?;
    endpoint::show(context, endpoint).await
}

/// `UnbindDevice`: an endpoint does not have this id at a provider.
pub(super) async fn unbind(
    context: &Arc<Context>,
    request: Request<wire::UnbindDeviceRequest>,
) -> Answer<wire::Endpoint> {
    let caller = context
        .auth
        .authorize(&request, Method::UnbindDevice)
        .await?;
    let request = request.into_inner();
    let device = parse(&request.provider, &request.device_id)?;
    let reason = bounded_reason(&request.reason)?;
    let endpoint = context.state.find_endpoint(&request.endpoint).await?;
    let (provider, id) = (device.provider.word(), &device.id);
    let detail = format!("{id} at {provider}: {reason}");
    let target = endpoint.to_string();
    let entry = AuditEntry::allowed(&caller, Method::UnbindDevice, &target, &detail);
    let state = &context.state;
    state
        .unbind_device(endpoint, (provider, id), &entry)
        .await?;
    // The caller sees incidents that know that it is gone.
    context.correlator.settle().await?;
    endpoint::show(context, endpoint).await
}

fn parse(provider: &str, id: &str) -> Result<DeviceId, Status> {
    DeviceId::parse(provider, id).map_err(|why| ErrorCode::Invalid.status(why))
}

fn row(
    endpoint: EndpointId,
    device: DeviceId,
    (source, caller, reason): (&str, &Caller, &str),
) -> DeviceRow {
    DeviceRow {
        provider: device.provider.word().to_owned(),
        device_id: device.id,
        endpoint,
        source: source.to_owned(),
        confidence: CERTAIN.to_owned(),
        bound_by: caller.analyst().to_owned(),
        reason: reason.to_owned(),
        bound_time_ms: now_ms(),
    }
}

/// `ImportDevices`: many at once, from a CSV file. It adds, and takes nothing from any endpoint.
pub(super) async fn import(
    context: &Arc<Context>,
    request: Request<wire::ImportDevicesRequest>,
) -> Answer<wire::DevicesImported> {
    let caller = context
        .auth
        .authorize(&request, Method::ImportDevices)
        .await?;
    let request = request.into_inner();
    if request.file_name.len() > TEXT_BYTES_MAX {
        let why = format!("file_name may have at most {TEXT_BYTES_MAX} bytes");
        return Err(ErrorCode::Invalid.status(why));
    }
    if request.content.len() > FILE_BYTES_MAX {
        let limit = FILE_BYTES_MAX >> 20;
        let why = format!("the file has more than {limit} MiB: split it");
        return Err(ErrorCode::Invalid.status(why));
    }
    let _turn = context.imports.acquire().await;
    let hash = HEXLOWER.encode(&Sha256::digest(&request.content));
    let read = tokio::task::spawn_blocking(move || device::read(&request.content)).await;
    let read = read
        .map_err(|_| ErrorCode::Internal.status("reading the file has failed"))?
        .map_err(|error| ErrorCode::Invalid.status(error.to_string()))?;
    let detail = format!(
        "SHA-256 {hash}, {} rows, {} of them malformed",
        read.rows_read,
        read.problems.len()
    );
    // Into the audit log before anything is changed.
    context
        .audit
        .allowed(&caller, Method::ImportDevices, &request.file_name, &detail)
        .await?;
    let mut summary = store(context, &caller, read).await?;
    summary.file_sha256 = hash;
    Ok(Response::new(summary))
}

/// Binds what a file says; those that see it when it returns see incidents that know of it.
async fn store(
    context: &Context,
    caller: &Caller,
    read: Devices,
) -> Result<wire::DevicesImported, StoreError> {
    let mut summary = wire::DevicesImported {
        rows: read.rows_read,
        refused: read.problems.len() as u64,
        ..wire::DevicesImported::default()
    };
    let mut problems = read.problems;
    let mut endpoints: BTreeMap<String, Result<EndpointId, String>> = BTreeMap::new();
    let tally = context.correlator.tally();
    for rows in read.rows.chunks(ROWS_TOGETHER) {
        let (mut lines, mut devices) = (Vec::new(), Vec::new());
        for one in rows {
            let found = match endpoints.get(&one.endpoint) {
                Some(found) => found.clone(),
                None => find(context, &one.endpoint).await?,
            };
            endpoints.insert(one.endpoint.clone(), found.clone());
            match found {
                Ok(endpoint) => {
                    lines.push(one.line);
                    devices.push(row(endpoint, one.device.clone(), (BY_IMPORT, caller, "")));
                }
                Err(why) => {
                    summary.refused += 1;
                    problems.push((one.line, why));
                }
            }
        }
        let done = context.state.import_devices(&devices).await?;
        for linked in touched(context, &devices, &done).await? {
            tally.watch([linked]);
        }
        for (line, done) in lines.into_iter().zip(done) {
            match done {
                DeviceImported::Bound => summary.changed += 1,
                DeviceImported::Same => summary.unchanged += 1,
                DeviceImported::Refused(why) => {
                    summary.refused += 1;
                    problems.push((line, why));
                }
            }
        }
    }
    context.correlator.settle().await?;
    (summary.incidents_opened, summary.incidents_updated) = tally.counts();
    problems.sort_by_key(|(line, _)| *line);
    problems.truncate(IMPORT_PROBLEMS_MAX);
    let problem = |(line, reason)| wire::ImportProblem { line, reason };
    summary.problems = problems.into_iter().map(problem).collect();
    Ok(summary)
}

/// Who is linked to the endpoints that have a new id.
async fn touched(
    context: &Context,
    devices: &[DeviceRow],
    done: &[DeviceImported],
) -> Result<Vec<tocsin_proto::id::IdentityId>, StoreError> {
    let mut people = Vec::new();
    for (device, done) in devices.iter().zip(done) {
        if *done == DeviceImported::Bound {
            let linked = context.state.linked_to(device.endpoint).await?;
            people.extend(linked.into_iter().map(|linked| linked.identity));
        }
    }
    Ok(people)
}

/// The endpoint that a text means; why none where it means none.
async fn find(context: &Context, text: &str) -> Result<Result<EndpointId, String>, StoreError> {
    match context.state.find_endpoint(text).await {
        Ok(id) => Ok(Ok(id)),
        Err(error @ (StoreError::NotFound { .. } | StoreError::Ambiguous { .. })) => {
            Ok(Err(error.to_string()))
        }
        Err(error) => Err(error),
    }
}

/// The ids of an endpoint's machine.
pub(super) async fn of(
    context: &Context,
    endpoint: EndpointId,
    hostnames: &mut Hostnames,
) -> Result<Vec<wire::DeviceBinding>, StoreError> {
    let rows = context.state.devices(endpoint).await?;
    let mut devices = Vec::with_capacity(rows.len());
    for row in rows {
        devices.push(wire::DeviceBinding {
            provider: row.provider,
            device_id: row.device_id,
            endpoint: row.endpoint.to_string(),
            hostname: hostnames.of(context, row.endpoint).await?,
            source: row.source,
            confidence: row.confidence,
            bound_by: match row.reason.as_str() {
                "" => row.bound_by,
                reason => format!("{}: {reason}", row.bound_by),
            },
            bound_time_ms: row.bound_time_ms,
        });
    }
    Ok(devices)
}
