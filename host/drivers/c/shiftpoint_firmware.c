/* Runs images on the processor of a board's system, without an operating system or a C library.
 *
 * It is linked with a program (network.c, network_image.c) and images (firmware_images.c), by the firmware.ld that
 * `board build --processor` writes; the board is board.h's.  What it finds it prints, a line each:
 *
 *     COUNTER NUMBER           of the engine in the first run
 *     digest INDEX SHA-256     of an output, or a layer behind the outputs, over all images: int32, low bytes first
 *     end
 *
 * or `stopped` where the engine stops with an error, `failed` where anything else is wrong, with the reason. */
#include <stdint.h>
#include <string.h>

#include "board.h"
#include "firmware_images.h"
#include "network.h"

#define STACK_BYTES 0x4000u

extern uint8_t firmware_end[]; /* of the linker: behind it memory is free up to the stack */

/* The first thing in memory, where the processor starts. */
__attribute__((naked, used, section(".start"))) void _start(void)
{
    __asm__ volatile("la sp, firmware_stack\n\tcall firmware_main\n1:\tj 1b");
}

/* What compilers call where they copy or clear structures, and the driver itself. */
void *memcpy(void *to, const void *from, size_t bytes)
{
    uint8_t *out = to;
    const uint8_t *in = from;

    if ((((uintptr_t)out | (uintptr_t)in) & 3u) == 0)
        for (; bytes >= 4u; bytes -= 4u, out += 4, in += 4)
            *(uint32_t *)(void *)out = *(const uint32_t *)(const void *)in;
    while (bytes-- > 0)
        *out++ = *in++;
    return to;
}

void *memset(void *to, int value, size_t bytes)
{
    uint8_t *out = to;

    while (bytes-- > 0)
        *out++ = (uint8_t)value;
    return to;
}

/* The processor's UART: a byte to print, and 1 while no more can be taken. */
static volatile uint32_t *const console = (volatile uint32_t *)(uintptr_t)BOARD_CONSOLE;

static void print(const char *text)
{
    for (; *text != '\0'; text++) {
        while (console[1] != 0) {
        }
        console[0] = (uint8_t)*text;
    }
}

static void print_number(uint32_t value, uint32_t base, int digits)
{
    char text[33], *first = text + sizeof text - 1;

    *first = '\0';
    do {
        *--first = "0123456789abcdef"[value % base];
        value /= base;
        digits--;
    } while (value != 0 || digits > 0);
    print(first);
}

/* The driver's way to the registers; memory is seen as it is. */
static uint32_t read_register(void *context, uint32_t offset)
{
    (void)context;
    return *(volatile uint32_t *)(uintptr_t)(board.registers + offset);
}

static void write_register(void *context, uint32_t offset, uint32_t value)
{
    (void)context;
    *(volatile uint32_t *)(uintptr_t)(board.registers + offset) = value;
}

static struct shiftpoint engine;

static __attribute__((noreturn)) void stay(void)
{
    for (;;) {
    }
}

static void need(const char *what, int result)
{
    if (result == SHIFTPOINT_OK)
        return;
    print(result > 0 ? "stopped " : "failed ");
    print(what);
    print(": ");
    print(shiftpoint_meaning(result));
    print(" (");
    print(shiftpoint_name(result));
    print(")");
    if (result > 0) {
        print(", at 0x");
        print_number(engine.error_address, 16, 1);
    }
    print("\n");
    stay();
}

/* Memory that is free: words, for as long as the firmware runs. */
static void *room(size_t bytes)
{
    static uint8_t *next = firmware_end;
    uint8_t *const found = next;
    const uint8_t *const last = (uint8_t *)(uintptr_t)(BOARD_FIRMWARE + BOARD_FIRMWARE_BYTES - STACK_BYTES);

    bytes = (bytes + 3u) & ~(size_t)3u;
    if (bytes > (size_t)(last - next)) {
        print("failed room: memory is too small for the results\n");
        stay();
    }
    next += bytes;
    return found;
}

/* SHA-256 (FIPS 180-4) of words that come one at a time. */
struct sha256 {
    uint32_t state[8], block[16], words;
};

static uint32_t rotated(uint32_t x, unsigned by)
{
    return x >> by | x << (32u - by);
}

static void sha256_block(struct sha256 *sum)
{
    static const uint32_t k[64] = {
        0x428A2F98u, 0x71374491u, 0xB5C0FBCFu, 0xE9B5DBA5u, 0x3956C25Bu, 0x59F111F1u, 0x923F82A4u, 0xAB1C5ED5u,
        0xD807AA98u, 0x12835B01u, 0x243185BEu, 0x550C7DC3u, 0x72BE5D74u, 0x80DEB1FEu, 0x9BDC06A7u, 0xC19BF174u,
        0xE49B69C1u, 0xEFBE4786u, 0x0FC19DC6u, 0x240CA1CCu, 0x2DE92C6Fu, 0x4A7484AAu, 0x5CB0A9DCu, 0x76F988DAu,
        0x983E5152u, 0xA831C66Du, 0xB00327C8u, 0xBF597FC7u, 0xC6E00BF3u, 0xD5A79147u, 0x06CA6351u, 0x14292967u,
        0x27B70A85u, 0x2E1B2138u, 0x4D2C6DFCu, 0x53380D13u, 0x650A7354u, 0x766A0ABBu, 0x81C2C92Eu, 0x92722C85u,
        0xA2BFE8A1u, 0xA81A664Bu, 0xC24B8B70u, 0xC76C51A3u, 0xD192E819u, 0xD6990624u, 0xF40E3585u, 0x106AA070u,
        0x19A4C116u, 0x1E376C08u, 0x2748774Cu, 0x34B0BCB5u, 0x391C0CB3u, 0x4ED8AA4Au, 0x5B9CCA4Fu, 0x682E6FF3u,
        0x748F82EEu, 0x78A5636Fu, 0x84C87814u, 0x8CC70208u, 0x90BEFFFAu, 0xA4506CEBu, 0xBEF9A3F7u, 0xC67178F2u,
    };
    uint32_t w[64], s[8];
    unsigned i;

    memcpy(w, sum->block, sizeof sum->block);
    for (i = 16; i < 64u; i++) {
        const uint32_t a = w[i - 15u], b = w[i - 2u];

        w[i] = w[i - 16u] + w[i - 7u] + (rotated(a, 7) ^ rotated(a, 18) ^ a >> 3)
             + (rotated(b, 17) ^ rotated(b, 19) ^ b >> 10);
    }
    memcpy(s, sum->state, sizeof s);
    for (i = 0; i < 64u; i++) {
        const uint32_t one = s[7] + (rotated(s[4], 6) ^ rotated(s[4], 11) ^ rotated(s[4], 25))
                           + ((s[4] & s[5]) ^ (~s[4] & s[6])) + k[i] + w[i];
        const uint32_t two = (rotated(s[0], 2) ^ rotated(s[0], 13) ^ rotated(s[0], 22))
                           + ((s[0] & s[1]) ^ (s[0] & s[2]) ^ (s[1] & s[2]));
        unsigned j;

        for (j = 7; j > 0; j--)
            s[j] = s[j - 1u];
        s[4] += one;
        s[0] = one + two;
    }
    for (i = 0; i < 8u; i++)
        sum->state[i] += s[i];
}

static void sha256_start(struct sha256 *sum)
{
    static const uint32_t first[8] = {
        0x6A09E667u, 0xBB67AE85u, 0x3C6EF372u, 0xA54FF53Au, 0x510E527Fu, 0x9B05688Cu, 0x1F83D9ABu, 0x5BE0CD19u,
    };

    memcpy(sum->state, first, sizeof first);
    sum->words = 0;
}

/* word: its first byte is the highest. */
static void sha256_add(struct sha256 *sum, uint32_t word)
{
    sum->block[sum->words++ % 16u] = word;
    if (sum->words % 16u == 0)
        sha256_block(sum);
}

static void sha256_end(struct sha256 *sum)
{
    const uint32_t words = sum->words;

    sha256_add(sum, 0x80000000u);
    while (sum->words % 16u != 14u)
        sha256_add(sum, 0);
    sha256_add(sum, words >> 27);
    sha256_add(sum, words << 5);
}

/* The elements of one image of a tensor, as int32 whose first byte is the lowest. */
static void add_elements(struct sha256 *sum, const struct shiftpoint_tensor *tensor, const uint8_t *elements)
{
    const size_t bytes = shiftpoint_bytes(tensor);
    size_t i;

    for (i = 0; i < bytes; i += tensor->element_bytes) {
        uint32_t value = elements[i], sign = 0x80u;

        if (tensor->element_bytes == 2u) {
            value |= (uint32_t)elements[i + 1u] << 8;
            sign = 0x8000u;
        }
        if (tensor->is_signed)
            value = (value ^ sign) - sign;
        sha256_add(sum, value << 24 | (value & 0xFF00u) << 8 | (value >> 8 & 0xFF00u) | value >> 24);
    }
}

/* One run from the image `first` on; of a run that is not full, the last image fills it. */
static void run(uint32_t first, struct sha256 *sums, uint8_t *result)
{
    const uint32_t count = FIRMWARE_IMAGES - first < network.batch ? FIRMWARE_IMAGES - first : network.batch;
    uint32_t image, k;

    for (image = 0; image < network.batch; image++) {
        const uint8_t *elements = firmware_images[first + (image < count ? image : count - 1u)];

        for (k = 0; k < network.input_count; k++) {
            const size_t bytes = shiftpoint_bytes(&network.inputs[k]);

            need("write", shiftpoint_write(&engine, k, image, elements, bytes));
            elements += bytes;
        }
    }
    need("start", shiftpoint_start(&engine));
    need("run", shiftpoint_wait(&engine));
    for (image = 0; image < count; image++)
        for (k = 0; k < network.readable_count; k++) {
            need("read", shiftpoint_read(&engine, k, image, result, shiftpoint_bytes(&network.outputs[k])));
            add_elements(&sums[k], &network.outputs[k], result);
        }
}

static void print_counters(void)
{
#define SHOW(name, offset)                                    \
    print(#name " ");                                         \
    print_number(shiftpoint_counter(&engine, offset), 10, 1); \
    print("\n");
    SHIFTPOINT_COUNTERS(SHOW)
#undef SHOW
}

__attribute__((used)) void firmware_main(void)
{
    struct sha256 *const sums = room(network.readable_count * sizeof *sums);
    size_t largest = 0;
    uint8_t *result;
    uint32_t k, first;

    engine.read = read_register;
    engine.write = write_register;
    engine.memory = (uint8_t *)(uintptr_t)board.memory;
    engine.window_base = board.memory;
    engine.window_bytes = BOARD_FIRMWARE - board.memory;
    engine.polls = UINT32_MAX;
    need("connect", shiftpoint_connect(&engine));
    need("load", shiftpoint_load(&engine, &network, network_image, NETWORK_IMAGE_BYTES));
    for (k = 0; k < network.readable_count; k++) {
        const size_t bytes = shiftpoint_bytes(&network.outputs[k]);

        largest = bytes > largest ? bytes : largest;
        sha256_start(&sums[k]);
    }
    result = room(largest);
    for (first = 0; first < FIRMWARE_IMAGES; first += network.batch) {
        run(first, sums, result);
        if (first == 0)
            print_counters();
    }
    for (k = 0; k < network.readable_count; k++) {
        unsigned i;

        sha256_end(&sums[k]);
        print("digest ");
        print_number(k, 10, 1);
        print(" ");
        for (i = 0; i < 8u; i++)
            print_number(sums[k].state[i], 16, 8);
        print("\n");
    }
    print("end\n");
    stay();
}
