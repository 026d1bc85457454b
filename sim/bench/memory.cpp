// The bytes behind memory.sv: a file, mapped, so that other processes and languages see every beat at once.
// The environment variable SHIFTPOINT_MEMORY names it.

#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "svdpi.h"

namespace {

struct Mapping {
    uint8_t* bytes = nullptr;
    uint64_t size = 0;

    Mapping() {
        const char* path = std::getenv("SHIFTPOINT_MEMORY");
        const int file = path ? open(path, O_RDWR) : -1;
        struct stat status;
        if (file < 0 || fstat(file, &status) != 0) fail(path);
        size = static_cast<uint64_t>(status.st_size);
        void* where = mmap(nullptr, size, PROT_READ | PROT_WRITE, MAP_SHARED, file, 0);
        if (where == MAP_FAILED) fail(path);
        bytes = static_cast<uint8_t*>(where);
        close(file);
    }

    [[noreturn]] static void fail(const char* path) {
        std::fprintf(stderr, "%%Fatal: SHIFTPOINT_MEMORY=%s cannot be mapped\n", path ? path : "(not set)");
        std::exit(1);
    }
};

// The beat at an offset, or nullptr where it is not all inside the file.
uint8_t* beat(uint64_t offset, int bytes) {
    static Mapping mapping;
    return offset < mapping.size && mapping.size - offset >= static_cast<uint64_t>(bytes) ? mapping.bytes + offset
                                                                                         : nullptr;
}

}  // namespace

// A beat's bytes; returns 0, and zeros, beyond the file.
extern "C" int memory_read(unsigned long long offset, int bytes, svBitVecVal* data) {
    std::memset(data, 0, 32);
    const uint8_t* from = beat(offset, bytes);
    if (from) std::memcpy(data, from, static_cast<size_t>(bytes));
    return from != nullptr;
}

// Writes the bytes of a beat whose strobe is 1; returns 0 beyond the file.
extern "C" int memory_write(unsigned long long offset, int bytes, const svBitVecVal* data, unsigned int strobe) {
    uint8_t* to = beat(offset, bytes);
    if (!to) return 0;
    const uint8_t* from = reinterpret_cast<const uint8_t*>(data);
    for (int i = 0; i < bytes; ++i) {
        if (strobe >> i & 1) to[i] = from[i];
    }
    return 1;
}
