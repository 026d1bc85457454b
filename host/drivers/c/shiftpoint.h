/* The driver of a shiftpoint engine, in C99: no allocation, no operating system, no library but memory functions.
 *
 * Memory is seen through a pointer, registers through functions.  A program is a `struct shiftpoint_network`, which
 * `shiftpoint driver` writes as NAME.h and NAME.c.  Numbers of registers and causes are in shiftpoint_registers.h.
 *
 *     connect, load;  then for each run: write every image of every input, start, wait, read
 *
 * Functions that can fail return 0, one of SHIFTPOINT_CAUSES (positive: the engine stopped, and error_address says
 * where), or one of SHIFTPOINT_FAILURES (negative).  An engine is driven by one thread at a time.
 */
#ifndef SHIFTPOINT_H
#define SHIFTPOINT_H

#include <stddef.h>
#include <stdint.h>

#include "shiftpoint_registers.h"

#ifdef __cplusplus
extern "C" {
#endif

#define SHIFTPOINT_OK 0

/* X(name, number, meaning): what the driver itself finds. */
#define SHIFTPOINT_FAILURES(X) \
    X(NO_ENGINE, -1, "no engine answers") \
    X(RESET, -2, "the engine does not come out of its reset: a transfer on its bus never ends") \
    X(WINDOW, -3, "a window that is not made of whole pages below 4 GiB, or is too small for the program") \
    X(CONFIGURATION, -4, "the program was made for an engine of another configuration") \
    X(IMAGE, -5, "the window does not hold the program's image: another one, an interrupted load, bad memory") \
    X(SIZE, -6, "a buffer that has another size than what is to be in it") \
    X(INDEX, -7, "no such input, output or image of a run") \
    X(PIXELS, -8, "the input is none that takes pixels") \
    X(BUSY, -9, "a run is under way: wait for it, or reset") \
    X(TIMEOUT, -10, "the run has not ended in time; it goes on until a reset") \
    X(NOT_LOADED, -11, "no program is loaded") \
    X(NOT_STARTED, -12, "no run was started") \
    X(STOPPED, -13, "the engine stopped without a cause") \
    X(MEMORY_ACCESS, -14, "registers or memory were not reached: the way to the engine has broken off")

#define SHIFTPOINT_NAMED_FAILURE_(name, number, meaning) SHIFTPOINT_FAIL_##name = number,
enum shiftpoint_failure { SHIFTPOINT_FAILURES(SHIFTPOINT_NAMED_FAILURE_) };
#undef SHIFTPOINT_NAMED_FAILURE_

/* Taps of a kernel as channels: stored channel (ky * kernel[1] + kx) * C + c of pixel (y, x) is channel c of
 * (y * stride[0] + ky * dilation[0] - top, x * stride[1] + kx * dilation[1] - left), fill[c] outside; 0 without fill. */
struct shiftpoint_fold {
    uint16_t kernel[2], stride[2], dilation[2];
    uint16_t top, left;
    const int32_t *fill;
};

/* Where a tensor of one image lies, or of all images of a run, one below the other.  Its elements are in planes of
 * words of network.lanes channels, a byte of each channel a plane, low bytes first. */
struct shiftpoint_placement {
    uint32_t address;     /* byte offset in the window */
    int32_t image;        /* of a run; -1: all */
    uint32_t channels, height, width; /* as stored, taps folded */
    uint32_t planes;      /* groups of channels, times bytes of an element */
    uint32_t plane_bytes; /* from one plane to the next */
    const uint32_t *lanes; /* [channels]: where each stands among those of all groups; NULL: in order */
    const struct shiftpoint_fold *fold; /* NULL: none */
};

/* An input or an output.  An image of it is C * H * W elements, (C, H, W), without gaps: int8_t or uint8_t, or where
 * element_bytes is 2 int16_t or uint16_t; each stands for element * 2^-frac. */
struct shiftpoint_tensor {
    const char *name;
    uint32_t channels, height, width;
    uint8_t element_bytes, is_signed;
    int16_t frac;
    const struct shiftpoint_placement *placements;
    uint32_t placement_count;
    const uint8_t *pixels; /* [channels][256][element_bytes]: what pixels become, the low byte first; NULL where the input takes none */
    const uint8_t *planes; /* [channels]: from which plane of the pixels (RGB or gray) */
};

struct shiftpoint_network {
    const char *name;
    uint32_t config; /* what CONFIG_HASH must read as */
    uint32_t program_base, instructions;
    uint32_t memory_bytes; /* of the window that it uses */
    uint32_t image_bytes, image_crc; /* instructions and weights: the first bytes of the window; CRC-32 as zlib has it */
    uint32_t batch; /* images of a run */
    uint32_t lanes; /* channels of a word */
    uint32_t lane_bytes; /* of each of them: 1 or 2 */
    const struct shiftpoint_tensor *inputs, *outputs; /* behind the outputs those of layers (`driver --layers`) */
    uint32_t input_count, output_count, readable_count; /* readable: outputs, and layers behind them */
};

struct shiftpoint {
    /* Given by whoever drives it.  flush: what the processor wrote is in memory; invalidate: what the processor reads
     * next comes from memory.  Both NULL where caches are coherent, or memory is not cached.
     * wait: sleeps until the interrupt line is high; not 0: too long.  NULL: INTERRUPT is polled instead.
     * broken: not 0: one of the others did not do its work, now or before.  NULL: they always do. */
    uint32_t (*read)(void *context, uint32_t offset);
    void (*write)(void *context, uint32_t offset, uint32_t value);
    void (*flush)(void *context, void *start, size_t bytes);
    void (*invalidate)(void *context, void *start, size_t bytes);
    int (*wait)(void *context);
    int (*broken)(void *context);
    void *context;
    uint8_t *memory; /* the window as the processor sees it */
    uint32_t window_base, window_bytes; /* as the engine does: bus address, size; multiples of 4096 */
    uint32_t watchdog; /* cycles in which nothing moves after which a run ends with an error; 0: never */
    uint32_t polls; /* reads of a register, or calls of wait, after which the driver gives up */

    /* Kept by the driver. */
    const struct shiftpoint_network *network;
    uint32_t config; /* CONFIG_HASH; 0 before connect */
    uint32_t error_address; /* of the last cause: what ERROR_ADDRESS read as */
    uint8_t running;
};

/* Find the engine, reset it, tell it window, watchdog and interrupts.  Once, before all else. */
int shiftpoint_connect(struct shiftpoint *engine);

/* Bring the engine to its initial state, ending a run; keeps window, program and memory. */
int shiftpoint_reset(struct shiftpoint *engine);

/* Take a program.  image: its image, in an array or read from NAME.bin, which is copied to the window; NULL: it is
 * there already.  What then stands in the window is read back and checked. */
int shiftpoint_load(struct shiftpoint *engine, const struct shiftpoint_network *network, const void *image, size_t bytes);

/* Lay one image of a run, elements (C, H, W), where the program reads it.  Images of a run that are not written
 * hold anything; so do all of them after a run whose program uses memory again. */
int shiftpoint_write(struct shiftpoint *engine, uint32_t input, uint32_t image, const void *elements, size_t bytes);

/* The same of pixels, (C, H, W) from 0 to 255, planes in RGB or gray: each becomes the element that it stands for. */
int shiftpoint_write_pixels(struct shiftpoint *engine, uint32_t input, uint32_t image, const uint8_t *pixels, size_t bytes);

/* Start a run; an error of the one before is cleared first. */
int shiftpoint_start(struct shiftpoint *engine);

/* Wait until the run has ended. */
int shiftpoint_wait(struct shiftpoint *engine);

/* Read one image of an output of the last run as elements (C, H, W); of a layer behind the outputs, too. */
int shiftpoint_read(struct shiftpoint *engine, uint32_t output, uint32_t image, void *elements, size_t bytes);

/* A counter of the last run, by its register: SHIFTPOINT_CYCLES and the others of SHIFTPOINT_COUNTERS. */
uint32_t shiftpoint_counter(const struct shiftpoint *engine, uint32_t counter);

/* Bytes of one image of a tensor. */
size_t shiftpoint_bytes(const struct shiftpoint_tensor *tensor);

/* What a function returned, by name and in words; never NULL. */
const char *shiftpoint_name(int result);
const char *shiftpoint_meaning(int result);

#ifdef __cplusplus
}
#endif

#endif
