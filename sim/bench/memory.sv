// The memory of the simulation (docs/architecture.md): an AXI4 subordinate of fixed latency and bandwidth.
//
// Its bytes are those of a file that memory.cpp maps, so that whoever maps the same file sees them.  The file's
// first byte has the bus address `base`; bursts beyond its end are answered with DECERR.
// latency, beat_every, shared: as in hw/contract/memory.py; these and all that follow may change while nothing is under
// way.
// read_error, write_error: number of the beat answered with SLVERR, counted from 1 on since it was last 0; 0 means none.
// failed: bus address of the burst with the last such beat.
//
// All else is 0 in the memory that docs/architecture.md describes and the cycle model knows.
// stall_chance: of each channel (AR, R, AW, W, B, a byte each, the first lowest), in 256, that it begins to stall in a
// cycle in which it does not; a stall takes 1 to stall_longest cycles.  A channel that stalls has no READY, or begins no
// VALID.  A new seed begins a new sequence.
// data_first: no address of a write before a beat of its data; address_first: no beat before its address.  Else they
// come as they like: data may run ahead by EARLY beats.
//
// Registers hold what the next cycle shows: at the end of cycle `now` the block decides about cycle now + 1.
// State that is read and written within one cycle is assigned at once (=), what leaves the module is not.

`default_nettype none

module memory #(
  parameter int BITS = 32,
  parameter int DEPTH = 64,  // bursts under way in each direction, a power of two
  parameter int EARLY = 16  // beats of data before their address, a power of two
) (
  input wire clk,
  input wire rst,
  input wire [31:0] latency,
  input wire [31:0] beat_every,
  input wire shared,
  input wire [31:0] base,
  input wire [31:0] read_error,
  input wire [31:0] write_error,
  output logic [31:0] failed,
  input wire [4:0][7:0] stall_chance,
  input wire [15:0] stall_longest,
  input wire [31:0] seed,
  input wire data_first,
  input wire address_first,

  input wire [31:0] araddr,
  input wire [7:0] arlen,
  input wire arvalid,
  output logic arready,
  output logic [BITS-1:0] rdata,
  output logic [1:0] rresp,
  output logic rlast,
  output logic rvalid,
  input wire rready,

  input wire [31:0] awaddr,
  input wire [7:0] awlen,
  input wire awvalid,
  output logic awready,
  input wire [BITS-1:0] wdata,
  input wire [BITS/8-1:0] wstrb,
  input wire wlast,
  input wire wvalid,
  output logic wready,
  output logic [1:0] bresp,
  output logic bvalid,
  input wire bready
);
  import "DPI-C" function int memory_read(input longint unsigned offset, input int bytes, output bit [255:0] data);
  import "DPI-C" function int memory_write(
    input longint unsigned offset, input int bytes, input bit [255:0] data, input int unsigned strobe);

  localparam int BYTES = BITS / 8;
  localparam int PLACES = $clog2(DEPTH);
  localparam bit [1:0] OKAY = 2'b00, SLVERR = 2'b10, DECERR = 2'b11;
  localparam int EARLY_PLACES = $clog2(EARLY);
  localparam int AR = 0, R = 1, AW = 2, W = 3, B = 4;

  longint unsigned now;

  // Read bursts: address, that of the next beat, beats left, first cycle of the first beat.
  bit [31:0] read_start[DEPTH];
  bit [31:0] read_address[DEPTH];
  bit [8:0] read_left[DEPTH];
  longint unsigned read_from[DEPTH];
  bit [PLACES-1:0] read_head, read_tail;
  longint unsigned read_next;  // first cycle in which another beat may be transferred
  bit [31:0] read_beats;  // shown since read_error was last 0

  // Write bursts: address, that of the next beat, beats left; then responses: their cycle and content.
  bit [31:0] write_start[DEPTH];
  bit [31:0] write_address[DEPTH];
  bit [8:0] write_left[DEPTH];
  bit [1:0] write_state[DEPTH];
  bit [PLACES-1:0] write_head, write_tail;
  longint unsigned write_next;
  longint unsigned answer_from[DEPTH];
  bit [1:0] answer[DEPTH];
  bit [PLACES-1:0] answer_head, answer_tail;
  bit [31:0] write_beats;  // taken since write_error was last 0

  // Write data taken and not yet written, for want of its address.
  bit [BITS-1:0] early_data[EARLY];
  bit [BYTES-1:0] early_strobe[EARLY];
  bit early_last[EARLY];
  bit [EARLY_PLACES-1:0] early_head, early_tail;

  // The bus, where both directions share one: a burst of either holds it from its first beat to its last.
  bit reading, writing;
  bit after_read;  // the last burst that it served was a read

  bit [31:0] sown;  // the seed that `random` began with
  bit [63:0] random;  // xorshift, never 0
  bit [15:0] stalled[5];  // cycles that a channel still stalls

  bit may_read, may_write;  // a beat in the cycle that begins

  always @(posedge clk) begin
    now = now + 1;  // from here on, the cycle that begins
    if (seed != sown || now == 1) begin
      sown = seed;
      random = {32'h9e37_79b9, seed};
    end
    if (read_error == 0) read_beats = 0;
    if (write_error == 0) write_beats = 0;
    if (rst) begin
      read_head = 0;
      read_tail = 0;
      read_next = 0;
      write_head = 0;
      write_tail = 0;
      write_next = 0;
      answer_head = 0;
      answer_tail = 0;
      early_head = 0;
      early_tail = 0;
      reading = 0;
      writing = 0;
      after_read = 0;
      arready <= 1'b1;
      awready <= 1'b1;
      rvalid <= 1'b0;
      wready <= 1'b0;
      bvalid <= 1'b0;
    end else begin
      // What was transferred in the cycle that ends.
      if (arvalid && arready) begin
        read_start[read_tail] = araddr;
        read_address[read_tail] = araddr;
        read_left[read_tail] = 9'(arlen) + 1;
        read_from[read_tail] = now - 1 + 64'(latency);
        read_tail = read_tail + 1;
        if (read_tail == read_head) $fatal(1, "more than %0d read bursts under way", DEPTH - 1);
      end
      if (awvalid && awready) begin
        write_start[write_tail] = awaddr;
        write_address[write_tail] = awaddr;
        write_left[write_tail] = 9'(awlen) + 1;
        write_state[write_tail] = OKAY;
        write_tail = write_tail + 1;
        if (write_tail == write_head) $fatal(1, "more than %0d write bursts under way", DEPTH - 1);
      end
      if (rvalid && rready) begin
        read_next = now - 1 + 64'(beat_every);
        if (shared) write_next = read_next;
        reading = !rlast;
      end
      if (wvalid && wready) begin
        early_data[early_tail] = wdata;
        early_strobe[early_tail] = wstrb;
        early_last[early_tail] = wlast;
        early_tail = early_tail + 1;
        write_next = now - 1 + 64'(beat_every);
        if (shared) read_next = write_next;
        writing = !wlast;
        after_read = 0;
      end
      while (early_head != early_tail && write_head != write_tail) begin
        bit [1:0] response;
        response = memory_write(64'(write_address[write_head] - base), BYTES, 256'(early_data[early_head]),
                                32'(early_strobe[early_head])) == 0 ? DECERR : OKAY;
        write_beats = write_beats + 1;
        if (write_beats == write_error) begin
          response = SLVERR;
          failed <= write_start[write_head];
        end
        write_state[write_head] = write_state[write_head] | response;
        write_address[write_head] = write_address[write_head] + BYTES;
        write_left[write_head] = write_left[write_head] - 1;
        if (early_last[early_head] != (write_left[write_head] == 0)) $fatal(1, "WLAST is not on a burst's last beat");
        if (early_last[early_head]) begin
          answer_from[answer_tail] = now - 1 + 64'(latency);
          answer[answer_tail] = write_state[write_head];
          answer_tail = answer_tail + 1;
          if (answer_tail == answer_head) $fatal(1, "more than %0d responses under way", DEPTH - 1);
          write_head = write_head + 1;
        end
        early_head = early_head + 1;
      end

      // What the cycle that begins shows.
      for (int channel = 0; channel < 5; channel++) begin
        if (stalled[channel] != 0) stalled[channel] = stalled[channel] - 1;
        else if (stall_chance[channel] != 0) begin
          random = random ^ (random << 13);
          random = random ^ (random >> 7);
          random = random ^ (random << 17);
          if (random[7:0] < stall_chance[channel]) stalled[channel] = 1 + random[31:16] % stall_longest;
        end
      end
      arready <= stalled[AR] == 0;
      awready <= stalled[AW] == 0 && !(data_first && early_head == early_tail);
      may_write = stalled[W] == 0 && now >= write_next && EARLY_PLACES'(early_tail + 1) != early_head
          && !(address_first && write_head == write_tail);
      // Bursts take turns on a shared bus: a write that was offered in the cycle that ends goes before a second read.
      may_read = stalled[R] == 0 && now >= read_next
          && !(shared && (writing || (!reading && after_read && may_write && wvalid && !wready)));
      if (!rvalid || rready) begin
        rvalid <= 1'b0;
        if (stall_chance != 0) {rdata, rresp, rlast} <= (BITS + 3)'({5{random}});  // what must not be looked at
        if (read_head != read_tail && now >= read_from[read_head] && may_read) begin
          bit [255:0] data;
          bit [1:0] response;
          response = memory_read(64'(read_address[read_head] - base), BYTES, data) == 0 ? DECERR : OKAY;
          read_beats = read_beats + 1;
          if (read_beats == read_error) begin
            response = SLVERR;
            failed <= read_start[read_head];
          end
          rvalid <= 1'b1;
          reading = 1;
          after_read = 1;
          rdata <= data[BITS-1:0];
          rresp <= response;
          rlast <= read_left[read_head] == 1;
          read_address[read_head] = read_address[read_head] + BYTES;
          read_left[read_head] = read_left[read_head] - 1;
          if (read_left[read_head] == 0) read_head = read_head + 1;
        end
      end
      wready <= may_write && !(shared && reading);
      if (!bvalid || bready) begin
        bvalid <= 1'b0;
        if (stall_chance != 0) bresp <= random[1:0];
        if (answer_head != answer_tail && now >= answer_from[answer_head] && stalled[B] == 0) begin
          bvalid <= 1'b1;
          bresp <= answer[answer_head];
          answer_head = answer_head + 1;
        end
      end
    end
  end
endmodule

`default_nettype wire
