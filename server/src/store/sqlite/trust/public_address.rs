//! From which public addresses an endpoint was on the Internet, and when.

use std::net::IpAddr;

use sqlx::sqlite::SqliteRow;
use sqlx::{Row, SqliteConnection, SqlitePool};
use tocsin_proto::id::EndpointId;

use super::super::engine;
use crate::network::{Network, PublicAddress, Source};
use crate::store::StoreError;
use crate::store::trust::{PUBLIC_ADDRESS_JOIN_MS, PUBLIC_ADDRESSES_MAX, PublicAddressRow};

const WRITE: &str = "note a public address";
const READ: &str = "read public addresses";
const DAMAGED: StoreError = StoreError::Damaged {
    what: "public address",
};

/// Makes the newest row of the same address that touches it longer, or adds one; the oldest make room.
pub(super) async fn add_one(
    connection: &mut SqliteConnection,
    row: &PublicAddressRow,
) -> Result<(), StoreError> {
    let endpoint = row.endpoint.as_bytes().as_slice();
    let address = bytes(row.address.network.address());
    let longer = sqlx::query(
        "UPDATE public_address SET from_ms = min(from_ms, ?1), until_ms = max(until_ms, ?2), \
         shared = max(shared, ?3) WHERE no = (SELECT no FROM public_address WHERE endpoint = ?4 \
         AND address = ?5 AND prefix = ?6 AND source = ?7 AND site = ?8 \
         AND from_ms <= ?2 + ?9 AND until_ms >= ?1 - ?9 ORDER BY until_ms DESC LIMIT 1)",
    );
    let longer = longer
        .bind(row.from_ms)
        .bind(row.until_ms)
        .bind(row.address.shared)
        .bind(endpoint)
        .bind(&address)
        .bind(row.address.network.prefix())
        .bind(row.address.source.word())
        .bind(&row.address.site)
        .bind(PUBLIC_ADDRESS_JOIN_MS);
    let done = longer.execute(&mut *connection).await;
    if done.map_err(engine(WRITE))?.rows_affected() > 0 {
        return Ok(());
    }
    sqlx::query(
        "INSERT INTO public_address (endpoint, address, prefix, source, site, shared, from_ms, until_ms) \
         VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
    )
    .bind(endpoint)
    .bind(address)
    .bind(row.address.network.prefix())
    .bind(row.address.source.word())
    .bind(&row.address.site)
    .bind(row.address.shared)
    .bind(row.from_ms)
    .bind(row.until_ms)
    .execute(&mut *connection)
    .await
    .map_err(engine(WRITE))?;
    sqlx::query(
        "DELETE FROM public_address WHERE no IN (SELECT no FROM public_address WHERE endpoint = ? \
         ORDER BY until_ms DESC, no DESC LIMIT -1 OFFSET ?)",
    )
    .bind(endpoint)
    .bind(PUBLIC_ADDRESSES_MAX)
    .execute(connection)
    .await
    .map(drop)
    .map_err(engine(WRITE))
}

/// Rows that touch an interval.
pub(super) async fn between(
    reader: &SqlitePool,
    id: EndpointId,
    (from_ms, until_ms): (i64, i64),
) -> Result<Vec<PublicAddressRow>, StoreError> {
    let rows = sqlx::query(
        "SELECT address, prefix, source, site, from_ms, until_ms, shared OR EXISTS \
         (SELECT 1 FROM public_address AS other WHERE other.address = mine.address \
          AND other.prefix = mine.prefix AND other.endpoint != mine.endpoint \
          AND other.from_ms <= mine.until_ms AND other.until_ms >= mine.from_ms) AS shared \
         FROM public_address AS mine WHERE endpoint = ? AND from_ms <= ? AND until_ms >= ? \
         ORDER BY from_ms, until_ms, address, prefix, source, site",
    )
    .bind(id.as_bytes().as_slice())
    .bind(until_ms)
    .bind(from_ms)
    .fetch_all(reader)
    .await
    .map_err(engine(READ))?;
    rows.iter().map(|row| public_address_row(id, row)).collect()
}

/// Removes old rows.
pub(super) async fn remove(
    connection: &mut SqliteConnection,
    before_time_ms: i64,
    limit: u32,
) -> Result<u64, StoreError> {
    sqlx::query(
        "DELETE FROM public_address WHERE no IN \
         (SELECT no FROM public_address WHERE until_ms < ? LIMIT ?)",
    )
    .bind(before_time_ms)
    .bind(limit)
    .execute(connection)
    .await
    .map(|done| done.rows_affected())
    .map_err(engine("remove old public addresses"))
}

fn bytes(address: IpAddr) -> Vec<u8> {
    match address {
        IpAddr::V4(address) => address.octets().to_vec(),
        IpAddr::V6(address) => address.octets().to_vec(),
    }
}

fn public_address_row(
    endpoint: EndpointId,
    row: &SqliteRow,
) -> Result<PublicAddressRow, StoreError> {
    let text =
        |column: &str| -> Result<String, StoreError> { row.try_get(column).map_err(engine(READ)) };
    let number =
        |column: &str| -> Result<i64, StoreError> { row.try_get(column).map_err(engine(READ)) };
    let address: &[u8] = row.try_get("address").map_err(engine(READ))?;
    let address: IpAddr = match (<[u8; 4]>::try_from(address), <[u8; 16]>::try_from(address)) {
        (Ok(octets), _) => octets.into(),
        (_, Ok(octets)) => octets.into(),
        _ => return Err(DAMAGED),
    };
    let prefix = u8::try_from(number("prefix")?).map_err(|_| DAMAGED)?;
    let source = text("source")?;
    let source = Source::ALL.into_iter().find(|known| known.word() == source);
    Ok(PublicAddressRow {
        endpoint,
        address: PublicAddress {
            network: Network::new(address, prefix).ok_or(DAMAGED)?,
            source: source.ok_or(DAMAGED)?,
            site: text("site")?,
            shared: row.try_get("shared").map_err(engine(READ))?,
        },
        from_ms: number("from_ms")?,
        until_ms: number("until_ms")?,
    })
}
