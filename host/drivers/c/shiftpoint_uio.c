/* A shiftpoint engine under Linux; shiftpoint_uio.h says what its functions do. */
#define _POSIX_C_SOURCE 200809L

#include "shiftpoint_uio.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#define REGISTER_BYTES 4096u
#define POLLS 100000000u
#define SYNC_UNIT 16u /* u-dma-buf keeps flags in the low bits of a size */
#define TO_DEVICE 1u
#define FROM_DEVICE 2u

static uint32_t read_register(void *context, uint32_t offset)
{
    const struct shiftpoint_uio *uio = context;

    return uio->registers[offset / 4u];
}

static void write_register(void *context, uint32_t offset, uint32_t value)
{
    struct shiftpoint_uio *uio = context;

    uio->registers[offset / 4u] = value;
}

/* Hand a part of the memory to the device or to the processor: one number says offset, size, direction and "now".
 * Where that fails, what follows would compute on old bytes: from then on the driver's functions say so. */
static void sync_memory(struct shiftpoint_uio *uio, int file, const uint8_t *start, size_t bytes, unsigned to)
{
    const size_t offset = (size_t)(start - uio->engine.memory) & ~(size_t)(SYNC_UNIT - 1u);
    const size_t end = (size_t)(start - uio->engine.memory) + bytes;
    const size_t size = (end - offset + SYNC_UNIT - 1u) & ~(size_t)(SYNC_UNIT - 1u);
    char text[32];
    const int length = snprintf(text, sizeof text, "0x%08X%08X", (unsigned)offset, (unsigned)size | to << 2 | 1u);

    const ssize_t written = pwrite(file, text, (size_t)length, 0);

    if (written != length && uio->failure == 0)
        uio->failure = written < 0 ? errno : EIO;
}

static int broken(void *context)
{
    const struct shiftpoint_uio *uio = context;

    return uio->failure;
}

static void flush_memory(void *context, void *start, size_t bytes)
{
    struct shiftpoint_uio *uio = context;

    sync_memory(uio, uio->for_device, start, bytes, TO_DEVICE);
}

static void invalidate_memory(void *context, void *start, size_t bytes)
{
    struct shiftpoint_uio *uio = context;

    sync_memory(uio, uio->for_cpu, start, bytes, FROM_DEVICE);
}

/* UIO masks an interrupt that it has told of; writing 1 unmasks it, and one that still is high is told of at once. */
static int wait_for_interrupt(void *context)
{
    const struct shiftpoint_uio *uio = context;
    const uint32_t unmask = 1u;
    uint32_t count;
    struct pollfd file;
    int ready;

    if (write(uio->interrupt, &unmask, sizeof unmask) != (ssize_t)sizeof unmask)
        return -1;
    file.fd = uio->interrupt;
    file.events = POLLIN;
    do
        ready = poll(&file, 1, uio->timeout_ms);
    while (ready < 0 && errno == EINTR);
    return ready == 1 && read(uio->interrupt, &count, sizeof count) == (ssize_t)sizeof count ? 0 : -1;
}

/* A number in a file of a folder, as the system writes it: 4096, or 0x1000. */
static int number_in(const char *folder, const char *name, unsigned long long *number)
{
    char path[512], text[64], *end;
    ssize_t length;
    int file;

    if (snprintf(path, sizeof path, "%s/%s", folder, name) >= (int)sizeof path) {
        errno = ENAMETOOLONG;
        return -1;
    }
    file = open(path, O_RDONLY);
    if (file < 0)
        return -1;
    length = read(file, text, sizeof text - 1u);
    close(file);
    if (length < 0)
        return -1;
    text[length] = '\0';
    *number = strtoull(text, &end, 0);
    if (end == text) {
        errno = EINVAL;
        return -1;
    }
    return 0;
}

static int sync_file(const char *folder, const char *name)
{
    char path[512];

    if (snprintf(path, sizeof path, "%s/%s", folder, name) >= (int)sizeof path) {
        errno = ENAMETOOLONG;
        return -1;
    }
    return open(path, O_WRONLY);
}

static int open_all(struct shiftpoint_uio *uio, const char *registers, const char *memory, const char *facts)
{
    unsigned long long base, size;
    void *mapped;

    if (number_in(facts, "phys_addr", &base) != 0 || number_in(facts, "size", &size) != 0)
        return -1;
    size -= size % SHIFTPOINT_PAGE_BYTES;
    if (base > UINT32_MAX || size > SHIFTPOINT_LARGEST_WINDOW || size == 0) {
        errno = ERANGE;
        return -1;
    }
    uio->interrupt = open(registers, O_RDWR);
    if (uio->interrupt < 0)
        return -1;
    mapped = mmap(NULL, REGISTER_BYTES, PROT_READ | PROT_WRITE, MAP_SHARED, uio->interrupt, 0);
    if (mapped == MAP_FAILED)
        return -1;
    uio->registers = mapped;
    uio->register_bytes = REGISTER_BYTES;
    uio->memory = open(memory, O_RDWR);
    uio->for_device = sync_file(facts, "sync_for_device");
    uio->for_cpu = sync_file(facts, "sync_for_cpu");
    if (uio->memory < 0 || uio->for_device < 0 || uio->for_cpu < 0)
        return -1;
    mapped = mmap(NULL, (size_t)size, PROT_READ | PROT_WRITE, MAP_SHARED, uio->memory, 0);
    if (mapped == MAP_FAILED)
        return -1;
    uio->engine.memory = mapped;
    uio->engine.window_base = (uint32_t)base;
    uio->engine.window_bytes = (uint32_t)size;
    return 0;
}

int shiftpoint_uio_open(struct shiftpoint_uio *uio, const char *registers, const char *memory, const char *facts,
                        int sleeping)
{
    memset(uio, 0, sizeof *uio);
    uio->interrupt = uio->memory = uio->for_device = uio->for_cpu = -1;
    uio->timeout_ms = 10000;
    uio->engine.read = read_register;
    uio->engine.write = write_register;
    uio->engine.flush = flush_memory;
    uio->engine.invalidate = invalidate_memory;
    uio->engine.wait = sleeping ? wait_for_interrupt : NULL;
    uio->engine.broken = broken;
    uio->engine.context = uio;
    uio->engine.polls = POLLS;
    if (open_all(uio, registers, memory, facts) != 0) {
        const int why = errno;

        shiftpoint_uio_close(uio);
        errno = why;
        return -1;
    }
    return 0;
}

static void close_file(int *file)
{
    if (*file >= 0)
        close(*file);
    *file = -1;
}

void shiftpoint_uio_close(struct shiftpoint_uio *uio)
{
    if (uio->registers != NULL)
        munmap((void *)uio->registers, uio->register_bytes);
    if (uio->engine.memory != NULL)
        munmap(uio->engine.memory, uio->engine.window_bytes);
    uio->registers = NULL;
    uio->engine.memory = NULL;
    close_file(&uio->interrupt);
    close_file(&uio->memory);
    close_file(&uio->for_device);
    close_file(&uio->for_cpu);
}
