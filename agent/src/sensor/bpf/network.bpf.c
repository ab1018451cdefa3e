// SPDX-License-Identifier: Apache-2.0 OR GPL-2.0-only
//! Kernel programs that tell who asks for, gets, accepts, listens for and ends TCP connections, through one ring buffer.
//!
//! Promises: as in process.bpf.c. The states that belong to a process (asking, listening, accepting) are seen in its own
//! context and are told with it; the others are joined with them by the socket's cookie, which the socket
//! diagnostics use too and which is never used again.
//! Does not tell: what is sent; connections accepted by io_uring (the reader takes the listener's process for them).
//!
//! Only sockets of the network namespace `own_network` are told. The records are drawn in ../network/linux/record.rs.
#include "kernel.h"
#include "path.h"

enum {
    KIND_ASKED = 1,
    KIND_CONNECTED = 2,
    KIND_LISTENING = 3,
    KIND_ENDED = 4,
    KIND_ACCEPTED = 5,

    TCP_ESTABLISHED = 1,
    TCP_SYN_SENT = 2,
    TCP_CLOSE = 7,
    TCP_LISTEN = 10,

    AF_INET = 2,
    AF_INET6 = 10,
    IPPROTO_TCP = 6,
};

struct record {
    u64 time_ns;
    u64 cookie;
    u64 start_ns;
    u64 sent;
    u64 received;
    u32 kind;
    u32 pid;
    u32 socket_uid;
    u32 uid;
    u32 login_uid;
    u32 session;
    u16 family;
    u16 local_port;
    u16 remote_port;
    u16 is_inbound;
    u8 local[16];
    u8 remote[16];
    u32 path_bytes;
    u32 reserved;
    u8 path[PATH_BYTES];
};

const volatile u32 own_network SECTION(".rodata") = 0;

struct {
    MAP_INT(type, BPF_MAP_TYPE_RINGBUF);
    MAP_INT(max_entries, 8 << 20);
} events SECTION(".maps");

/// Records that the ring had no room for.
struct {
    MAP_INT(type, BPF_MAP_TYPE_ARRAY);
    MAP_INT(max_entries, 1);
    MAP_TYPE(key, u32);
    MAP_TYPE(value, u64);
} lost SECTION(".maps");

/// Where records are put together: one program's may be interrupted by the other's, so each has its own.
struct {
    MAP_INT(type, BPF_MAP_TYPE_PERCPU_ARRAY);
    MAP_INT(max_entries, 2);
    MAP_TYPE(key, u32);
    MAP_TYPE(value, struct record);
} scratch SECTION(".maps");

INLINE void send(struct record *record, u64 bytes)
{
    u32 zero = 0;
    u64 *count;

    if (ring_output(&events, record, bytes, BPF_RB_NO_WAKEUP) == 0)
        return;
    count = map_lookup(&lost, &zero);
    if (count)
        __sync_fetch_and_add(count, 1);
}

/// Sends it with the current process.
INLINE void send_with_process(struct record *record)
{
    struct task_struct *task = current_task(), *leader = 0;
    const struct cred *cred = 0;
    struct mm_struct *mm = 0;
    struct file *file = 0;
    u64 bytes;

    READ(leader, task, group_leader);
    READ(record->pid, task, tgid);
    READ(record->start_ns, leader, start_boottime);
    READ(cred, task, cred);
    READ(record->uid, cred, euid.val);
    if (HAS(task->loginuid)) {
        READ(record->login_uid, task, loginuid.val);
        READ(record->session, task, sessionid);
    }
    READ(mm, task, mm);
    record->path_bytes = 0;
    if (mm) {
        READ(file, mm, exe_file);
        if (file)
            write_path(record->path, &record->path_bytes, file);
    }
    bytes = *(volatile u32 *)&record->path_bytes;
    if (bytes > PATH_BYTES)
        return;
    send(record, sizeof(*record) - sizeof(record->path) + bytes);
}

INLINE void clear(struct record *record, u32 kind)
{
    record->time_ns = monotonic_ns();
    record->kind = kind;
    record->start_ns = 0;
    record->sent = 0;
    record->received = 0;
    record->pid = 0;
    record->uid = -1;
    record->login_uid = -1;
    record->session = -1;
    record->is_inbound = 0;
    record->path_bytes = 0;
}

INLINE void write_ends(struct record *record, struct sock *sock)
{
    READ(record->family, sock, __sk_common.skc_family);
    READ(record->local_port, sock, __sk_common.skc_num);
    READ(record->remote_port, sock, __sk_common.skc_dport);
    READ(record->socket_uid, sock, sk_uid.val);
    if (record->family == AF_INET) {
        READ(*(u32 *)record->local, sock, __sk_common.skc_rcv_saddr);
        READ(*(u32 *)record->remote, sock, __sk_common.skc_daddr);
    } else if (HAS(sock->__sk_common.skc_v6_daddr)) {
        READ(record->local, sock, __sk_common.skc_v6_rcv_saddr);
        READ(record->remote, sock, __sk_common.skc_v6_daddr);
    }
}

INLINE bool is_told(struct sock *sock)
{
    u16 family = 0, protocol = 0;
    struct net *net = 0;
    u32 network = 0;

    READ(family, sock, __sk_common.skc_family);
    READ(protocol, sock, sk_protocol);
    if ((family != AF_INET && family != AF_INET6) || protocol != IPPROTO_TCP)
        return 0;
    READ(net, sock, __sk_common.skc_net.net);
    READ(network, net, ns.inum);
    return own_network == 0 || network == own_network;
}

SECTION("tp_btf/inet_sock_set_state")
int on_state(u64 *arguments)
{
    struct sock *sock = (void *)arguments[0];
    struct tcp_sock *tcp = (void *)sock;
    int former = arguments[1], state = arguments[2];
    struct record *record;
    u32 first = 0, kind;

    if (state == TCP_SYN_SENT)
        kind = KIND_ASKED;
    else if (state == TCP_ESTABLISHED)
        kind = KIND_CONNECTED;
    else if (state == TCP_LISTEN)
        kind = KIND_LISTENING;
    else if (state == TCP_CLOSE)
        kind = KIND_ENDED;
    else
        return 0;
    record = map_lookup(&scratch, &first);
    if (!record || !is_told(sock))
        return 0;
    clear(record, kind);
    record->cookie = socket_cookie(sock);
    write_ends(record, sock);
    if (kind == KIND_ASKED || kind == KIND_LISTENING) {
        send_with_process(record);
        return 0;
    }
    record->is_inbound = kind == KIND_CONNECTED && former != TCP_SYN_SENT;
    if (kind == KIND_ENDED && former != TCP_LISTEN) {
        READ(record->sent, tcp, bytes_acked);
        READ(record->received, tcp, bytes_received);
    }
    send(record, sizeof(*record) - sizeof(record->path));
    return 0;
}

/// What a tracepoint of a system call's end tells, from its file `format`.
struct system_call_ended {
    u64 common;
    u64 number;
    s64 result;
};

INLINE int accepted(struct system_call_ended *call)
{
    struct task_struct *task = current_task();
    struct files_struct *files = 0;
    struct fdtable *table = 0;
    struct file **descriptors = 0, *file = 0;
    struct socket *socket = 0;
    struct sock *sock = 0;
    struct record *record;
    u32 second = 1;

    if (call->result < 0)
        return 0;
    READ(files, task, files);
    READ(table, files, fdt);
    READ(descriptors, table, fd);
    read_kernel(&file, sizeof(file), descriptors + call->result);
    READ(socket, file, private_data);
    READ(sock, socket, sk);
    record = map_lookup(&scratch, &second);
    // Another thread may have closed it and opened something else there: then it has no socket's cookie.
    if (!record || !sock || !is_told(sock))
        return 0;
    clear(record, KIND_ACCEPTED);
    record->cookie = 0;
    READ(record->cookie, sock, __sk_common.skc_cookie.counter);
    write_ends(record, sock);
    record->is_inbound = 1;
    if (record->cookie)
        send_with_process(record);
    return 0;
}

SECTION("tracepoint/syscalls/sys_exit_accept")
int on_accept(struct system_call_ended *call)
{
    return accepted(call);
}

SECTION("tracepoint/syscalls/sys_exit_accept4")
int on_accept4(struct system_call_ended *call)
{
    return accepted(call);
}

/// The kernel lends some of its functions only to programs under its own licence; this file is under either.
char LICENSE[] SECTION("license") = "GPL";
