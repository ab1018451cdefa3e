// SPDX-License-Identifier: Apache-2.0 OR GPL-2.0-only
//! The path of a file, by its folders and the mounts on its way, as the file system of the machine has it now.
#pragma once

#include "kernel.h"

enum {
    PATH_BYTES = 4096,
    NAME_BYTES = 256,
    /// Folders of a path and mounts on its way, together.
    STEPS = 64,
};

/// Writes the names of a path, the file's first, each ended by a zero byte; none where there are more than fit. Their
/// length is kept in the record, so that the verifier sees the same state at each step and is done soon.
INLINE void write_path(u8 *to, u32 *length_of_all, struct file *file)
{
    struct dentry *dentry = 0, *parent = 0, *root = 0;
    struct vfsmount *here = 0;

    *(volatile u32 *)length_of_all = 0;
    READ(here, file, f_path.mnt);
    READ(dentry, file, f_path.dentry);
    for (u32 step = 0; step < STEPS; step++) {
        struct mount *mount = (void *)((u64)here - OFFSET(struct mount, mnt));
        struct mount *above = 0;
        const u8 *name = 0;
        u64 bytes;
        long length;

        READ(root, here, mnt_root);
        READ(parent, dentry, d_parent);
        if (dentry == root) {
            READ(above, mount, mnt_parent);
            if (above == mount || !above)
                return;
            READ(dentry, mount, mnt_mountpoint);
            here = (void *)((u64)above + OFFSET(struct mount, mnt));
            continue;
        }
        bytes = *(volatile u32 *)length_of_all;
        if (bytes > PATH_BYTES - NAME_BYTES)
            break;
        READ(name, dentry, d_name.name);
        length = read_kernel_text(to + bytes, NAME_BYTES, name);
        if (length <= 0 || length > NAME_BYTES)
            break;
        *(volatile u32 *)length_of_all = bytes + length;
        // A root that is not its mount's: a file that was never in a folder (memfd), or one of a tree that is gone.
        if (dentry == parent)
            return;
        dentry = parent;
    }
    *(volatile u32 *)length_of_all = 0;
}
