//! What providers call endpoints: one id, and the file of `endpoints import-devices`. Pure.
//!
//! | column | also called | what it is |
//! |---|---|---|
//! | `endpoint` | `hostname` | id or hostname of the endpoint |
//! | `provider` | | "okta", "entra", ... |
//! | `device_id` | `epkey` | the provider's own id of it |
//!
//! All three must be there. How columns and rows are read is said in `table.rs`.

use tocsin_correlate::Provider;
use tocsin_correlate::fact::fold_device_id;
use tocsin_proto::limits::TEXT_BYTES_MAX;

use super::table::{self, Columns, TableError, repeated};

/// Bytes of a file: it comes in one message, and 50,000 machines have less.
pub(crate) const FILE_BYTES_MAX: usize = 3 << 20;

const COLUMNS: Columns<3> = Columns {
    names: [
        ("endpoint", "hostname"),
        ("provider", "provider"),
        ("device_id", "epkey"),
    ],
    one_of: &[&[0], &[1], &[2]],
};

/// A provider's id of a device, as it is stored and compared.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct DeviceId {
    /// Whose.
    pub(crate) provider: Provider,
    /// Folded.
    pub(crate) id: String,
}

impl DeviceId {
    /// What two texts say.
    ///
    /// # Errors
    /// Where there is no such provider, or no device can be called so.
    pub(crate) fn parse(provider: &str, id: &str) -> Result<Self, String> {
        let word = provider.trim().to_lowercase();
        let found = Provider::ALL.iter().find(|one| one.word() == word);
        let Some(provider) = found.copied() else {
            let words: Vec<&str> = Provider::ALL.iter().map(|one| one.word()).collect();
            let said = repeated(&word);
            return Err(format!(
                "provider '{said}' is not known: {} are",
                words.join(", ")
            ));
        };
        let id = fold_device_id(provider, id);
        if id.len() > TEXT_BYTES_MAX {
            return Err(format!("device_id has more than {TEXT_BYTES_MAX} bytes"));
        }
        // A GUID of zeros, and what only separates, is how providers write that there is none.
        if !id.chars().any(|c| c.is_alphanumeric() && c != '0') {
            return Err(format!("device_id '{}' is none", repeated(&id)));
        }
        if id.chars().any(|c| c.is_control() || c.is_whitespace()) {
            return Err("device_id has blanks or control characters".to_owned());
        }
        Ok(Self { provider, id })
    }
}

/// One row that makes sense.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct DeviceRow {
    /// Physical line, from 1.
    pub(crate) line: u64,
    /// As it was written; never empty.
    pub(crate) endpoint: String,
    /// What it is called.
    pub(crate) device: DeviceId,
}

/// A file, understood.
#[derive(Debug, Default)]
pub(crate) struct Devices {
    /// Rows below the header that are not blank.
    pub(crate) rows_read: u64,
    /// Those that make sense.
    pub(crate) rows: Vec<DeviceRow>,
    /// Line and reason of those that do not.
    pub(crate) problems: Vec<(u64, String)>,
}

/// Reads a file.
///
/// # Errors
/// Where the header does not make sense, or there are too many rows.
pub(crate) fn read(bytes: &[u8]) -> Result<Devices, TableError> {
    let mut devices = Devices::default();
    devices.rows_read = table::read(bytes, &COLUMNS, |line, fields| {
        let row = fields.and_then(|[endpoint, provider, id]| match endpoint.is_empty() {
            true => Err("no endpoint".to_owned()),
            false => Ok(DeviceRow {
                line,
                endpoint,
                device: DeviceId::parse(&provider, &id)?,
            }),
        });
        match row {
            Ok(row) => devices.rows.push(row),
            Err(why) => devices.problems.push((line, why)),
        }
    })?;
    Ok(devices)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_list_of_devices_is_read_and_what_is_wrong_is_named() {
        let text = "Hostname,Provider,Device ID\r\n\
                    lab-7,okta,guo4A5u7\r\n\
                    lab-7,Entra,0F3C-AB12\r\n\
                    ,okta,guo1\r\n\
                    lab-8,jamf,1\r\n\
                    lab-8,entra,00000000-0000-0000-0000-000000000000\r\n\
                    lab-8,duo,\r\n\
                    lab-8,duo,two words\r\n";
        let read = read(text.as_bytes()).unwrap();
        assert_eq!((read.rows_read, read.rows.len()), (7, 2));
        let ids: Vec<&str> = read.rows.iter().map(|row| &*row.device.id).collect();
        assert_eq!(
            ids,
            ["guo4A5u7", "0f3c-ab12"],
            "letters of Entra's are folded"
        );
        let reasons: Vec<String> = read
            .problems
            .iter()
            .map(|(line, why)| format!("{line} {why}"))
            .collect();
        assert_eq!(reasons[0], "4 no endpoint");
        assert!(
            reasons[1].starts_with("5 provider 'jamf' is not known: okta, entra,"),
            "{reasons:?}"
        );
        assert_eq!(
            reasons[2],
            "6 device_id '00000000-0000-0000-0000-000000000000' is none"
        );
        assert_eq!(reasons[3], "7 device_id '' is none");
        assert_eq!(reasons[4], "8 device_id has blanks or control characters");
    }

    #[test]
    fn without_one_of_its_columns_a_list_is_not_taken() {
        let refused = |text: &str| read(text.as_bytes()).unwrap_err().to_string();
        assert_eq!(
            refused("endpoint,provider\n"),
            "there must be a column device_id"
        );
        assert!(refused("endpoint,provider,device_id,owner\n").contains("'owner' is not known"));
    }
}
