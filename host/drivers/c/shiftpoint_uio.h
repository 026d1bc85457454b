/* A shiftpoint engine under Linux: registers through UIO, memory through u-dma-buf. */
#ifndef SHIFTPOINT_UIO_H
#define SHIFTPOINT_UIO_H

#include "shiftpoint.h"

#ifdef __cplusplus
extern "C" {
#endif

struct shiftpoint_uio {
    struct shiftpoint engine; /* to connect; its context is this structure */
    volatile uint32_t *registers;
    size_t register_bytes;
    int interrupt, memory, for_device, for_cpu; /* open files; -1: none */
    int timeout_ms; /* of a wait for the interrupt; -1: for ever */
    int failure; /* errno of the first cache that was not kept; not 0: the driver's functions return MEMORY_ACCESS */
};

/* Open registers (/dev/uio0), memory (/dev/udmabuf0), and what the system says of the memory
 * (/sys/class/u-dma-buf/udmabuf0: phys_addr, size, and the files by which caches are kept).  The window is the whole
 * memory, in whole pages.  `sleeping`: waits sleep until the interrupt; else they poll.
 * Returns 0; or -1, with errno, where something cannot be opened, mapped or read, and then nothing is left open. */
int shiftpoint_uio_open(struct shiftpoint_uio *uio, const char *registers, const char *memory, const char *facts,
                        int sleeping);

void shiftpoint_uio_close(struct shiftpoint_uio *uio);

#ifdef __cplusplus
}
#endif

#endif
