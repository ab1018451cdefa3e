// SPDX-License-Identifier: Apache-2.0 OR GPL-2.0-only
//! What the kernel programs need of the kernel: a few fields of its structures, found on the running kernel by name when
//! the program is loaded (CO-RE), and the numbers of its helper functions. Promises nothing about any layout.
//!
//! Sources: the kernel's include/uapi/linux/bpf.h for numbers; names of fields as of Linux 5.8 to 6.18, the variants of
//! one field with a suffix that the loader ignores (`___`).
#pragma once

typedef unsigned char u8;
typedef unsigned short u16;
typedef unsigned int u32;
typedef int s32;
typedef unsigned long long u64;
typedef long long s64;
typedef u8 bool;

#define SECTION(name) __attribute__((section(name), used))
#define INLINE static inline __attribute__((always_inline))
/// Keeps the compiler from forgetting a bound that the verifier must see.
#define BOUND(variable) asm volatile("" : "+r"(variable))

/// Type of a map, read from its definition's type by the loader.
#define MAP_INT(name, value) int(*name)[value]
#define MAP_TYPE(name, type) type *name

enum {
    BPF_MAP_TYPE_ARRAY = 2,
    BPF_MAP_TYPE_PERCPU_ARRAY = 6,
    BPF_MAP_TYPE_LRU_HASH = 9,
    BPF_MAP_TYPE_RINGBUF = 27,
};
enum { BPF_RB_NO_WAKEUP = 1 };

static void *(*const map_lookup)(void *map, const void *key) = (void *)1;
static long (*const map_update)(void *map, const void *key, const void *value, u64 flags) = (void *)2;
static long (*const map_delete)(void *map, const void *key) = (void *)3;
static u64 (*const monotonic_ns)(void) = (void *)5;
static void *(*const current_task)(void) = (void *)35;
static u64 (*const socket_cookie)(void *socket) = (void *)46;
static u64 (*const current_cgroup_id)(void) = (void *)80;
static long (*const read_user)(void *to, u32 bytes, const void *from) = (void *)112;
static long (*const read_kernel)(void *to, u32 bytes, const void *from) = (void *)113;
static long (*const read_kernel_text)(void *to, u32 bytes, const void *from) = (void *)115;
static long (*const ring_output)(void *ring, void *from, u64 bytes, u64 flags) = (void *)130;

/// Whether the running kernel has this field.
#define HAS(field) __builtin_preserve_field_info(field, 2)
/// Bytes from the start of its structure to a field, on the running kernel.
#define OFFSET(type, field) __builtin_preserve_field_info(((type *)0)->field, 0)
/// Reads a field through a pointer that the verifier knows nothing of.
#define READ(to, from, field) read_kernel(&(to), sizeof(to), __builtin_preserve_access_index(&(from)->field))

#define RELOCATED __attribute__((preserve_access_index))

struct qstr {
    const u8 *name;
} RELOCATED;

struct super_block {
    u32 s_dev;
} RELOCATED;

struct timespec64 {
    s64 tv_sec;
    long tv_nsec;
} RELOCATED;

struct inode {
    struct super_block *i_sb;
    unsigned long i_ino;
    u32 i_nlink;
    s64 i_size;
    // Since 6.11.
    s64 i_mtime_sec;
    s64 i_ctime_sec;
    u32 i_mtime_nsec;
    u32 i_ctime_nsec;
} RELOCATED;

// 6.7 to 6.10.
struct inode___private {
    struct timespec64 __i_mtime;
    struct timespec64 __i_ctime;
} RELOCATED;

// 6.6.
struct inode___half {
    struct timespec64 i_mtime;
    struct timespec64 __i_ctime;
} RELOCATED;

// Before 6.6.
struct inode___plain {
    struct timespec64 i_mtime;
    struct timespec64 i_ctime;
} RELOCATED;

struct dentry {
    struct dentry *d_parent;
    struct qstr d_name;
} RELOCATED;

struct vfsmount {
    struct dentry *mnt_root;
} RELOCATED;

struct mount {
    struct mount *mnt_parent;
    struct dentry *mnt_mountpoint;
    struct vfsmount mnt;
} RELOCATED;

struct path {
    struct vfsmount *mnt;
    struct dentry *dentry;
} RELOCATED;

struct file {
    struct path f_path;
    struct inode *f_inode;
    void *private_data;
} RELOCATED;

struct mm_struct {
    unsigned long arg_start;
    unsigned long arg_end;
    struct file *exe_file;
} RELOCATED;

struct ns_common {
    u32 inum;
} RELOCATED;

struct net {
    struct ns_common ns;
} RELOCATED;

struct nsproxy {
    struct net *net_ns;
} RELOCATED;

typedef struct {
    u32 val;
} kuid_t;

struct cred {
    kuid_t euid;
} RELOCATED;

typedef struct {
    s32 counter;
} atomic_t;

struct signal_struct {
    atomic_t live;
    s32 group_exit_code;
    u32 flags;
} RELOCATED;

struct fdtable {
    u32 max_fds;
    struct file **fd;
} RELOCATED;

struct files_struct {
    struct fdtable *fdt;
} RELOCATED;

struct task_struct {
    u32 flags;
    s32 pid;
    s32 tgid;
    s32 exit_code;
    u64 start_boottime;
    struct mm_struct *mm;
    struct task_struct *real_parent;
    struct task_struct *group_leader;
    struct nsproxy *nsproxy;
    struct signal_struct *signal;
    struct files_struct *files;
    const struct cred *cred;
    kuid_t loginuid;
    u32 sessionid;
} RELOCATED;

struct linux_binprm {
    const char *filename;
    const char *interp;
} RELOCATED;

typedef struct {
    s64 counter;
} atomic64_t;

typedef struct {
    struct net *net;
} possible_net_t;

struct in6_addr {
    u8 bytes[16];
};

struct sock_common {
    u32 skc_daddr;
    u32 skc_rcv_saddr;
    u16 skc_dport;
    u16 skc_num;
    u16 skc_family;
    possible_net_t skc_net;
    struct in6_addr skc_v6_daddr;
    struct in6_addr skc_v6_rcv_saddr;
    atomic64_t skc_cookie;
} RELOCATED;

struct sock {
    struct sock_common __sk_common;
    u16 sk_protocol;
    kuid_t sk_uid;
} RELOCATED;

struct tcp_sock {
    u64 bytes_received;
    u64 bytes_acked;
} RELOCATED;

struct socket {
    struct sock *sk;
} RELOCATED;
