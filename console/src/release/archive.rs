//! A program as the archive that endpoints take: one plain file, nothing of this machine in it, so that the same program
//! gives the same archive.

use std::path::Path;

use data_encoding::HEXLOWER;
use flate2::{Compression, GzBuilder};
use sha2::{Digest, Sha256};
use tocsin_proto::release::{ARCHIVE_BYTES_MAX, PROGRAM, PROGRAM_BYTES_MAX};

use super::{ReleaseError, file, refuse};

/// A packed program.
#[derive(Debug)]
pub(crate) struct Packed {
    /// The archive.
    pub(crate) bytes: Vec<u8>,
    /// SHA-256 of the archive, lower-case hex.
    pub(crate) sha256: String,
    /// Bytes of the program.
    pub(crate) program_bytes: u64,
    /// SHA-256 of the program, lower-case hex.
    pub(crate) program_sha256: String,
}

/// Packs a program.
pub(crate) fn pack(program: &Path) -> Result<Packed, ReleaseError> {
    let length = std::fs::metadata(program)
        .map_err(file("read", program))?
        .len();
    if length == 0 || length > PROGRAM_BYTES_MAX {
        return refuse(format!(
            "the program has {length} bytes: endpoints take 1 to {PROGRAM_BYTES_MAX}"
        ));
    }
    let content = std::fs::read(program).map_err(file("read", program))?;
    let zip = GzBuilder::new()
        .mtime(0)
        .write(Vec::new(), Compression::best());
    let mut list = tar::Builder::new(zip);
    let mut header = tar::Header::new_ustar();
    header.set_size(content.len() as u64);
    header.set_mode(0o755);
    header.set_entry_type(tar::EntryType::Regular);
    let packed = (|| {
        header.set_path(PROGRAM)?;
        header.set_cksum();
        list.append(&header, content.as_slice())?;
        list.into_inner()?.finish()
    })();
    let bytes = packed.map_err(file("pack", program))?;
    if bytes.len() as u64 > ARCHIVE_BYTES_MAX {
        return refuse(format!(
            "the archive would have more than {ARCHIVE_BYTES_MAX} bytes"
        ));
    }
    Ok(Packed {
        sha256: HEXLOWER.encode(&Sha256::digest(&bytes)),
        bytes,
        program_bytes: content.len() as u64,
        program_sha256: HEXLOWER.encode(&Sha256::digest(&content)),
    })
}
