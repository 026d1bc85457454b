/* The driver of a shiftpoint engine; shiftpoint.h says what its functions do. */
#include "shiftpoint.h"

#include <string.h>

#define INTERRUPTS (SHIFTPOINT_INTERRUPT_DONE | SHIFTPOINT_INTERRUPT_ERROR)

static void flush(struct shiftpoint *engine, uint8_t *start, size_t bytes)
{
    if (engine->flush != NULL)
        engine->flush(engine->context, start, bytes);
}

static void invalidate(struct shiftpoint *engine, uint8_t *start, size_t bytes)
{
    if (engine->invalidate != NULL)
        engine->invalidate(engine->context, start, bytes);
}

/* A result, unless what it was found by did not do its work. */
static int reached(const struct shiftpoint *engine, int result)
{
    return engine->broken != NULL && engine->broken(engine->context) ? SHIFTPOINT_FAIL_MEMORY_ACCESS : result;
}

/* CRC-32 as zlib has it, four bits at a time. */
static uint32_t crc(const uint8_t *data, size_t bytes)
{
    static const uint32_t table[16] = {
        0x00000000u, 0x1DB71064u, 0x3B6E20C8u, 0x26D930ACu, 0x76DC4190u, 0x6B6B51F4u, 0x4DB26158u, 0x5005713Cu,
        0xEDB88320u, 0xF00F9344u, 0xD6D6A3E8u, 0xCB61B38Cu, 0x9B64C2B0u, 0x86D3D2D4u, 0xA00AE278u, 0xBDBDF21Cu,
    };
    uint32_t sum = 0xFFFFFFFFu;
    size_t i;

    for (i = 0; i < bytes; i++) {
        sum ^= data[i];
        sum = sum >> 4 ^ table[sum & 15u];
        sum = sum >> 4 ^ table[sum & 15u];
    }
    return ~sum;
}

int shiftpoint_connect(struct shiftpoint *engine)
{
    const uint32_t pages = SHIFTPOINT_PAGE_BYTES - 1u;
    int result;

    engine->network = NULL;
    engine->config = 0;
    engine->error_address = 0;
    engine->running = 0;
    if (((engine->window_base | engine->window_bytes) & pages) != 0 || engine->window_bytes == 0
        || engine->window_base > 0u - engine->window_bytes)
        return SHIFTPOINT_FAIL_WINDOW;
    if (engine->read(engine->context, SHIFTPOINT_ID) != SHIFTPOINT_ID_VALUE)
        return reached(engine, SHIFTPOINT_FAIL_NO_ENGINE);
    result = shiftpoint_reset(engine);
    if (result != SHIFTPOINT_OK)
        return result;
    engine->config = engine->read(engine->context, SHIFTPOINT_CONFIG_HASH);
    engine->write(engine->context, SHIFTPOINT_WINDOW_BASE, engine->window_base);
    engine->write(engine->context, SHIFTPOINT_WINDOW_LIMIT, engine->window_bytes);
    engine->write(engine->context, SHIFTPOINT_WATCHDOG, engine->watchdog);
    engine->write(engine->context, SHIFTPOINT_INTERRUPT_ENABLE, engine->wait != NULL ? INTERRUPTS : 0u);
    return reached(engine, SHIFTPOINT_OK);
}

int shiftpoint_reset(struct shiftpoint *engine)
{
    const uint32_t under_way = SHIFTPOINT_STATUS_BUSY | SHIFTPOINT_STATUS_ERROR;
    uint32_t polls;

    engine->write(engine->context, SHIFTPOINT_CONTROL, SHIFTPOINT_CONTROL_RESET);
    for (polls = 0; engine->read(engine->context, SHIFTPOINT_STATUS) & under_way; polls++)
        if (polls >= engine->polls)
            return SHIFTPOINT_FAIL_RESET;
    engine->write(engine->context, SHIFTPOINT_INTERRUPT, INTERRUPTS);
    engine->running = 0;
    return reached(engine, SHIFTPOINT_OK);
}

int shiftpoint_load(struct shiftpoint *engine, const struct shiftpoint_network *network, const void *image, size_t bytes)
{
    engine->network = NULL;
    if (engine->running)
        return SHIFTPOINT_FAIL_BUSY;
    if (network->config != engine->config)
        return SHIFTPOINT_FAIL_CONFIGURATION;
    if (network->memory_bytes > engine->window_bytes)
        return SHIFTPOINT_FAIL_WINDOW;
    if (image != NULL) {
        if (bytes != network->image_bytes)
            return SHIFTPOINT_FAIL_SIZE;
        memcpy(engine->memory, image, bytes);
        flush(engine, engine->memory, bytes);
    }
    invalidate(engine, engine->memory, network->image_bytes);
    if (crc(engine->memory, network->image_bytes) != network->image_crc)
        return reached(engine, SHIFTPOINT_FAIL_IMAGE);
    engine->write(engine->context, SHIFTPOINT_PROGRAM_BASE, network->program_base);
    engine->write(engine->context, SHIFTPOINT_PROGRAM_LENGTH, network->instructions);
    engine->network = network;
    return reached(engine, SHIFTPOINT_OK);
}

size_t shiftpoint_bytes(const struct shiftpoint_tensor *tensor)
{
    return (size_t)tensor->channels * tensor->height * tensor->width * tensor->element_bytes;
}

/* Whether images of a tensor can be written or read now; found: the tensor. */
static int select(const struct shiftpoint *engine, const struct shiftpoint_tensor *tensors, uint32_t count,
                  uint32_t index, uint32_t image, const struct shiftpoint_tensor **found)
{
    if (engine->running)
        return SHIFTPOINT_FAIL_BUSY;
    if (index >= count || image >= engine->network->batch)
        return SHIFTPOINT_FAIL_INDEX;
    *found = &tensors[index];
    return SHIFTPOINT_OK;
}

/* Bytes of a word: one pixel of as many channels as there are lanes. */
static uint32_t word_bytes(const struct shiftpoint *engine)
{
    return engine->network->lanes * engine->network->lane_bytes;
}

/* Where the rows of one image are in the first plane of a placement. */
struct rows {
    uint8_t *first;
    uint32_t height;
};

static struct rows rows_of(const struct shiftpoint *engine, const struct shiftpoint_placement *placed, uint32_t image)
{
    const struct shiftpoint_network *network = engine->network;
    struct rows rows;

    rows.first = engine->memory + placed->address;
    rows.height = placed->height;
    if (placed->image < 0) {
        rows.height /= network->batch;
        rows.first += (size_t)image * rows.height * placed->width * word_bytes(engine);
    }
    return rows;
}

/* The low byte of a channel's first pixel; those that its lane does not hold are a plane further. */
static uint8_t *channel_of(const struct shiftpoint *engine, const struct shiftpoint_placement *placed,
                           struct rows rows, uint32_t channel, uint32_t element_bytes)
{
    const uint32_t lanes = engine->network->lanes, lane_bytes = engine->network->lane_bytes;
    const uint32_t lane = placed->lanes != NULL ? placed->lanes[channel] : channel;
    const uint32_t parts = (element_bytes + lane_bytes - 1) / lane_bytes;

    return rows.first + (size_t)(lane / lanes) * parts * placed->plane_bytes + lane % lanes * lane_bytes;
}

static int holds(const struct shiftpoint_placement *placed, uint32_t image)
{
    return placed->image < 0 || (uint32_t)placed->image == image;
}

/* A channel of an image: elements as they are given, or what pixels become. */
struct source {
    const uint8_t *elements;
    const uint8_t *table; /* NULL, or of each pixel its element, the low byte first */
    uint32_t height, width;
    uint16_t outside;
    uint8_t element_bytes, is_signed;
};

/* As a lane holds it: of fewer bits than that has, with its sign above them. */
static uint16_t element(const struct source *source, int32_t row, int32_t column)
{
    const uint8_t *from;
    uint16_t wide;
    size_t at;

    if (row < 0 || row >= (int32_t)source->height || column < 0 || column >= (int32_t)source->width)
        return source->outside;
    at = (size_t)row * source->width + (size_t)column;
    from = source->table != NULL ? source->table + (size_t)source->elements[at] * source->element_bytes
                                 : source->elements + at * source->element_bytes;
    if (source->element_bytes == 2 && source->table != NULL)
        return (uint16_t)(from[0] | (unsigned)from[1] << 8);
    if (source->element_bytes == 2) {
        memcpy(&wide, from, 2);
        return wide;
    }
    return source->is_signed && from[0] > 127 ? (uint16_t)(from[0] | 0xFF00u) : from[0];
}

/* One stored channel of the image.  tap: of the fold. */
static void lay_channel(const struct source *source, const struct shiftpoint_placement *placed, uint8_t *start,
                        uint32_t height, const struct shiftpoint *engine, uint32_t tap)
{
    static const struct shiftpoint_fold plain = {{1, 1}, {1, 1}, {1, 1}, 0, 0, NULL};
    const struct shiftpoint_fold *fold = placed->fold != NULL ? placed->fold : &plain;
    const int32_t down = (int32_t)(tap / fold->kernel[1]) * fold->dilation[0] - fold->top;
    const int32_t right = (int32_t)(tap % fold->kernel[1]) * fold->dilation[1] - fold->left;
    uint32_t y, x;

    for (y = 0; y < height; y++)
        for (x = 0; x < placed->width; x++) {
            const uint16_t value =
                element(source, (int32_t)y * fold->stride[0] + down, (int32_t)x * fold->stride[1] + right);

            start[0] = (uint8_t)value;
            if (engine->network->lane_bytes == 2)
                start[1] = (uint8_t)(value >> 8);
            start += word_bytes(engine);
        }
}

/* Lay an image into one placement.  Lanes without a channel become 0, and so do the ends of planes. */
static void lay(struct shiftpoint *engine, const struct shiftpoint_tensor *tensor,
                const struct shiftpoint_placement *placed, uint32_t image, const uint8_t *elements, int pixels)
{
    const uint32_t word = word_bytes(engine), size = tensor->height * tensor->width;
    const struct rows rows = rows_of(engine, placed, image);
    const size_t used = (size_t)placed->height * placed->width * word;
    size_t bytes = (size_t)rows.height * placed->width * word;
    uint32_t plane, channel;
    struct source source;

    if (rows.first + bytes == engine->memory + placed->address + used)
        bytes += placed->plane_bytes - used;
    for (plane = 0; plane < placed->planes; plane++)
        memset(rows.first + (size_t)plane * placed->plane_bytes, 0, bytes);
    source.height = tensor->height;
    source.width = tensor->width;
    source.element_bytes = tensor->element_bytes;
    source.is_signed = tensor->is_signed;
    for (channel = 0; channel < placed->channels; channel++) {
        const uint32_t from = channel % tensor->channels;
        const uint32_t plane_of_pixels = pixels ? tensor->planes[from] : from;

        source.elements = elements + (size_t)plane_of_pixels * size * (pixels ? 1u : tensor->element_bytes);
        source.table = pixels ? tensor->pixels + 256u * tensor->element_bytes * from : NULL;
        source.outside = placed->fold != NULL && placed->fold->fill != NULL ? (uint16_t)placed->fold->fill[from] : 0;
        lay_channel(&source, placed, channel_of(engine, placed, rows, channel, tensor->element_bytes), rows.height,
                    engine, channel / tensor->channels);
    }
    for (plane = 0; plane < placed->planes; plane++)
        flush(engine, rows.first + (size_t)plane * placed->plane_bytes, bytes);
}

static int write_image(struct shiftpoint *engine, uint32_t input, uint32_t image, const uint8_t *elements,
                       size_t bytes, int pixels)
{
    const struct shiftpoint_network *network = engine->network;
    const struct shiftpoint_tensor *tensor;
    uint32_t k;
    int result;

    if (network == NULL)
        return SHIFTPOINT_FAIL_NOT_LOADED;
    result = select(engine, network->inputs, network->input_count, input, image, &tensor);
    if (result != SHIFTPOINT_OK)
        return result;
    if (pixels && tensor->pixels == NULL)
        return SHIFTPOINT_FAIL_PIXELS;
    if (bytes != shiftpoint_bytes(tensor) / (pixels ? tensor->element_bytes : 1u))
        return SHIFTPOINT_FAIL_SIZE;
    for (k = 0; k < tensor->placement_count; k++)
        if (holds(&tensor->placements[k], image))
            lay(engine, tensor, &tensor->placements[k], image, elements, pixels);
    return reached(engine, SHIFTPOINT_OK);
}

int shiftpoint_write(struct shiftpoint *engine, uint32_t input, uint32_t image, const void *elements, size_t bytes)
{
    return write_image(engine, input, image, elements, bytes, 0);
}

int shiftpoint_write_pixels(struct shiftpoint *engine, uint32_t input, uint32_t image, const uint8_t *pixels, size_t bytes)
{
    return write_image(engine, input, image, pixels, bytes, 1);
}

int shiftpoint_start(struct shiftpoint *engine)
{
    int result;

    if (engine->network == NULL)
        return SHIFTPOINT_FAIL_NOT_LOADED;
    if (engine->running)
        return SHIFTPOINT_FAIL_BUSY;
    if (engine->read(engine->context, SHIFTPOINT_STATUS) & SHIFTPOINT_STATUS_ERROR) {
        result = shiftpoint_reset(engine);
        if (result != SHIFTPOINT_OK)
            return result;
    }
    engine->running = 1;
    engine->write(engine->context, SHIFTPOINT_CONTROL, SHIFTPOINT_CONTROL_START);
    return reached(engine, SHIFTPOINT_OK);
}

int shiftpoint_wait(struct shiftpoint *engine)
{
    uint32_t polls, status, cause;

    if (!engine->running)
        return SHIFTPOINT_FAIL_NOT_STARTED;
    for (polls = 0;; polls++) {
        if (engine->wait != NULL && engine->wait(engine->context) != 0)
            return SHIFTPOINT_FAIL_TIMEOUT;
        if (engine->read(engine->context, SHIFTPOINT_INTERRUPT) & INTERRUPTS)
            break;
        if (reached(engine, SHIFTPOINT_OK) != SHIFTPOINT_OK)
            return SHIFTPOINT_FAIL_MEMORY_ACCESS;
        if (polls >= engine->polls)
            return SHIFTPOINT_FAIL_TIMEOUT;
    }
    status = engine->read(engine->context, SHIFTPOINT_STATUS);
    engine->write(engine->context, SHIFTPOINT_INTERRUPT, INTERRUPTS);
    engine->running = 0;
    if ((status & SHIFTPOINT_STATUS_DONE) && !(status & SHIFTPOINT_STATUS_ERROR))
        return reached(engine, SHIFTPOINT_OK);
    cause = engine->read(engine->context, SHIFTPOINT_ERROR_CAUSE);
    engine->error_address = engine->read(engine->context, SHIFTPOINT_ERROR_ADDRESS);
    return reached(engine, cause != SHIFTPOINT_CAUSE_NONE ? (int)cause : SHIFTPOINT_FAIL_STOPPED);
}

/* Read an image out of one placement. */
static void take(struct shiftpoint *engine, const struct shiftpoint_tensor *tensor,
                 const struct shiftpoint_placement *placed, uint32_t image, uint8_t *elements)
{
    const uint32_t word = word_bytes(engine), lane_bytes = engine->network->lane_bytes;
    const struct rows rows = rows_of(engine, placed, image);
    const uint32_t pixels = rows.height * placed->width;
    uint32_t plane, channel, pixel;

    for (plane = 0; plane < placed->planes; plane++)
        invalidate(engine, rows.first + (size_t)plane * placed->plane_bytes, (size_t)pixels * word);
    for (channel = 0; channel < placed->channels; channel++) {
        const uint8_t *from = channel_of(engine, placed, rows, channel, tensor->element_bytes);

        for (pixel = 0; pixel < pixels; pixel++, from += word) {
            if (tensor->element_bytes == 2) {
                const uint8_t high = lane_bytes == 2 ? from[1] : from[placed->plane_bytes];
                const uint16_t wide = (uint16_t)(from[0] | (unsigned)high << 8);
                memcpy(elements, &wide, 2);
            } else
                elements[0] = from[0];
            elements += tensor->element_bytes;
        }
    }
}

int shiftpoint_read(struct shiftpoint *engine, uint32_t output, uint32_t image, void *elements, size_t bytes)
{
    const struct shiftpoint_network *network = engine->network;
    const struct shiftpoint_tensor *tensor;
    uint32_t k;
    int result;

    if (network == NULL)
        return SHIFTPOINT_FAIL_NOT_LOADED;
    result = select(engine, network->outputs, network->readable_count, output, image, &tensor);
    if (result != SHIFTPOINT_OK)
        return result;
    if (bytes != shiftpoint_bytes(tensor))
        return SHIFTPOINT_FAIL_SIZE;
    for (k = 0; k < tensor->placement_count; k++)
        if (holds(&tensor->placements[k], image))
            take(engine, tensor, &tensor->placements[k], image, elements);
    return reached(engine, SHIFTPOINT_OK);
}

uint32_t shiftpoint_counter(const struct shiftpoint *engine, uint32_t counter)
{
    return engine->read(engine->context, counter);
}

const char *shiftpoint_name(int result)
{
#define NAME(name, number, meaning) \
    case number: \
        return #name;
    switch (result) {
        SHIFTPOINT_CAUSES(NAME)
        SHIFTPOINT_FAILURES(NAME)
    default:
        return "UNKNOWN";
    }
#undef NAME
}

const char *shiftpoint_meaning(int result)
{
#define MEANING(name, number, meaning) \
    case number: \
        return meaning;
    switch (result) {
        SHIFTPOINT_CAUSES(MEANING)
        SHIFTPOINT_FAILURES(MEANING)
    default:
        return "a result that this driver does not know";
    }
#undef MEANING
}
