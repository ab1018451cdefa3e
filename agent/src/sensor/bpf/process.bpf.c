// SPDX-License-Identifier: Apache-2.0 OR GPL-2.0-only
//! Kernel programs that tell the beginning, each exec and the end of processes through one ring buffer.
//!
//! Promises: nothing is told to another process than the loader; what the ring has no room for is counted, to the record; nobody is woken, the reader comes by a timer. Nothing is read that is not about the process itself, and argv
//! is what the kernel put on the new stack: the process has not run yet and cannot have changed it.
//! Does not tell: threads, threads of the kernel, changes of user (each record has the user of its moment).
//!
//! Where `own_network` is set only processes in that network namespace are told, and the end of those that were told.
//! The records are drawn in ../process/ebpf/record.rs.
#include "kernel.h"
#include "path.h"

enum {
    KIND_FORK = 1,
    KIND_EXEC = 2,
    KIND_EXIT = 3,

    FLAG_NO_ARGV = 1,

    SCRIPT_BYTES = 1024,
    ARGV_BYTES = 4096,

    PF_KTHREAD = 0x00200000,
    SIGNAL_GROUP_EXIT = 4,
};

struct head {
    u64 time_ns;
    u64 start_ns;
    u64 cgroup;
    u32 kind;
    u32 pid;
    u32 parent;
    u32 uid;
    u32 login_uid;
    u32 session;
    u32 network;
    u32 status;
};

struct exec {
    struct head head;
    u64 inode;
    u64 size;
    s64 modified;
    s64 changed;
    u32 modified_ns;
    u32 changed_ns;
    u32 device;
    u32 links;
    u32 path_bytes;
    u32 script_bytes;
    u32 argv_bytes;
    u32 argv_total;
    u8 data[PATH_BYTES + SCRIPT_BYTES + ARGV_BYTES];
};

/// Inode of the network namespace to be told of; 0 = all.
const volatile u32 own_network SECTION(".rodata") = 0;

/// Its size is set by the loader.
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

/// Where an exec's record is put together; the kernel runs one program of a kind at a time on a CPU.
struct {
    MAP_INT(type, BPF_MAP_TYPE_PERCPU_ARRAY);
    MAP_INT(max_entries, 1);
    MAP_TYPE(key, u32);
    MAP_TYPE(value, struct exec);
} scratch SECTION(".maps");

/// Processes that were told, where `own_network` is set.
struct {
    MAP_INT(type, BPF_MAP_TYPE_LRU_HASH);
    MAP_INT(max_entries, 1);
    MAP_TYPE(key, u32);
    MAP_TYPE(value, u8);
} told SECTION(".maps");

INLINE void send(void *record, u64 bytes)
{
    u32 zero = 0;
    u64 *count;

    if (ring_output(&events, record, bytes, BPF_RB_NO_WAKEUP) == 0)
        return;
    count = map_lookup(&lost, &zero);
    if (count)
        __sync_fetch_and_add(count, 1);
}

INLINE void describe(struct head *head, u32 kind, struct task_struct *task)
{
    struct task_struct *leader = task->group_leader;

    head->time_ns = monotonic_ns();
    head->start_ns = leader->start_boottime;
    head->kind = kind;
    head->pid = task->tgid;
    head->parent = leader->real_parent->tgid;
    head->uid = task->cred->euid.val;
    head->login_uid = -1;
    head->session = -1;
    if (HAS(task->loginuid)) {
        head->login_uid = task->loginuid.val;
        head->session = task->sessionid;
    }
    head->network = task->nsproxy->net_ns->ns.inum;
    head->status = 0;
    head->cgroup = current_cgroup_id();
}

/// Whether a process in this network namespace is to be told; remembers that it is.
INLINE bool is_own(const struct head *head)
{
    u8 yes = 1;

    if (own_network == 0)
        return 1;
    if (head->network != own_network)
        return 0;
    map_update(&told, &head->pid, &yes, 0);
    return 1;
}

SECTION("tp_btf/sched_process_fork")
int on_fork(u64 *arguments)
{
    struct task_struct *child = (void *)arguments[1];
    struct head head;

    if (child->pid != child->tgid || child->flags & PF_KTHREAD)
        return 0;
    describe(&head, KIND_FORK, child);
    if (is_own(&head))
        send(&head, sizeof(head));
    return 0;
}

SECTION("tp_btf/sched_process_exit")
int on_exit(u64 *arguments)
{
    struct task_struct *task = (void *)arguments[0];
    struct signal_struct *signal = task->signal;
    struct head head;

    // Only the last thread's end is the process's.
    if (signal->live.counter != 0 || task->flags & PF_KTHREAD)
        return 0;
    describe(&head, KIND_EXIT, task);
    head.status = signal->flags & SIGNAL_GROUP_EXIT ? signal->group_exit_code : task->group_leader->exit_code;
    if (own_network != 0) {
        bool is_told = map_delete(&told, &head.pid) == 0;

        if (!is_told && head.network != own_network)
            return 0;
    }
    send(&head, sizeof(head));
    return 0;
}

INLINE void describe_file(struct exec *exec, struct inode *inode)
{
    struct inode___private *private = (void *)inode;
    struct inode___half *half = (void *)inode;
    struct inode___plain *plain = (void *)inode;

    exec->inode = inode->i_ino;
    exec->size = inode->i_size;
    exec->links = inode->i_nlink;
    exec->device = inode->i_sb->s_dev;
    if (HAS(inode->i_mtime_sec)) {
        exec->modified = inode->i_mtime_sec;
        exec->modified_ns = inode->i_mtime_nsec;
        exec->changed = inode->i_ctime_sec;
        exec->changed_ns = inode->i_ctime_nsec;
    } else if (HAS(private->__i_mtime)) {
        exec->modified = private->__i_mtime.tv_sec;
        exec->modified_ns = private->__i_mtime.tv_nsec;
        exec->changed = private->__i_ctime.tv_sec;
        exec->changed_ns = private->__i_ctime.tv_nsec;
    } else if (HAS(half->__i_ctime)) {
        exec->modified = half->i_mtime.tv_sec;
        exec->modified_ns = half->i_mtime.tv_nsec;
        exec->changed = half->__i_ctime.tv_sec;
        exec->changed_ns = half->__i_ctime.tv_nsec;
    } else {
        exec->modified = plain->i_mtime.tv_sec;
        exec->modified_ns = plain->i_mtime.tv_nsec;
        exec->changed = plain->i_ctime.tv_sec;
        exec->changed_ns = plain->i_ctime.tv_nsec;
    }
}

INLINE u64 write_script(u8 *to, struct linux_binprm *program)
{
    long length;

    // The same text at the same place, unless an interpreter was put before.
    if (program->filename == program->interp)
        return 0;
    length = read_kernel_text(to, SCRIPT_BYTES, program->filename);
    return length > 0 && length <= SCRIPT_BYTES ? length : 0;
}

SECTION("tp_btf/sched_process_exec")
int on_exec(u64 *arguments)
{
    struct task_struct *task = (void *)arguments[0];
    struct linux_binprm *program = (void *)arguments[2];
    struct mm_struct *mm = task->mm;
    struct file *file = mm->exe_file;
    u32 zero = 0;
    u64 end, script, argv;
    struct exec *exec = map_lookup(&scratch, &zero);

    if (!exec)
        return 0;
    describe(&exec->head, KIND_EXEC, task);
    if (!is_own(&exec->head))
        return 0;
    describe_file(exec, file->f_inode);
    write_path(exec->data, &exec->path_bytes, file);
    end = *(volatile u32 *)&exec->path_bytes;
    if (end > PATH_BYTES)
        return 0;
    script = write_script(exec->data + end, program);
    exec->script_bytes = script;
    end += script;
    BOUND(end);
    if (end > PATH_BYTES + SCRIPT_BYTES)
        return 0;
    argv = mm->arg_end - mm->arg_start;
    exec->argv_total = argv;
    if (argv > ARGV_BYTES)
        argv = ARGV_BYTES;
    BOUND(argv);
    if (argv > ARGV_BYTES)
        return 0;
    if (read_user(exec->data + end, argv, (void *)mm->arg_start)) {
        exec->head.status |= FLAG_NO_ARGV;
        argv = 0;
    }
    exec->argv_bytes = argv;
    end += argv;
    BOUND(end);
    if (end > sizeof(exec->data))
        return 0;
    send(exec, sizeof(*exec) - sizeof(exec->data) + end);
    return 0;
}

/// The kernel lends some of its functions only to programs under its own licence; this file is under either.
char LICENSE[] SECTION("license") = "GPL";
