// The memory of the simulation (docs/architecture.md): an AXI4 subordinate of fixed latency and bandwidth.
//
// Its bytes are those of a file that memory.cpp maps, so that whoever maps the same file sees them.  The file's
// first byte has the bus address `base`; bursts beyond its end are answered with DECERR.
// latency, beat_every: as in sim/memory.py; they may change while nothing is under way.
// read_error, write_error: bus addresses of beats answered with SLVERR; odd ones, which no beat has, mean none.
//
// Registers hold what the next cycle shows: at the end of cycle `now` the block decides about cycle now + 1.
// State that is read and written within one cycle is assigned at once (=), what leaves the module is not.

`default_nettype none

module memory #(
  parameter int BITS = 32,
  parameter int DEPTH = 64  // bursts under way in each direction, a power of two
) (
  input wire clk,
  input wire rst,
  input wire [31:0] latency,
  input wire [31:0] beat_every,
  input wire [31:0] base,
  input wire [31:0] read_error,
  input wire [31:0] write_error,

  input wire [31:0] araddr,
  input wire [7:0] arlen,
  input wire arvalid,
  output wire arready,
  output logic [BITS-1:0] rdata,
  output logic [1:0] rresp,
  output logic rlast,
  output logic rvalid,
  input wire rready,

  input wire [31:0] awaddr,
  input wire [7:0] awlen,
  input wire awvalid,
  output wire awready,
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

  longint unsigned now;

  // Read bursts: address of the next beat, beats left, first cycle of the first beat.
  bit [31:0] read_address[DEPTH];
  bit [8:0] read_left[DEPTH];
  longint unsigned read_from[DEPTH];
  bit [PLACES-1:0] read_head, read_tail;
  longint unsigned read_next;  // first cycle in which another beat may be transferred

  // Write bursts: address of the next beat, beats left; then responses: their cycle and content.
  bit [31:0] write_address[DEPTH];
  bit [8:0] write_left[DEPTH];
  bit [1:0] write_state[DEPTH];
  bit [PLACES-1:0] write_head, write_tail;
  longint unsigned write_next;
  longint unsigned answer_from[DEPTH];
  bit [1:0] answer[DEPTH];
  bit [PLACES-1:0] answer_head, answer_tail;

  assign arready = 1'b1;
  assign awready = 1'b1;

  function automatic bit [1:0] write_beat(input bit [31:0] address);
    if (memory_write(64'(address - base), BYTES, 256'(wdata), 32'(wstrb)) == 0) return DECERR;
    return address == write_error ? SLVERR : OKAY;
  endfunction

  always @(posedge clk) begin
    now = now + 1;  // from here on, the cycle that begins
    if (rst) begin
      read_head = 0;
      read_tail = 0;
      read_next = 0;
      write_head = 0;
      write_tail = 0;
      write_next = 0;
      answer_head = 0;
      answer_tail = 0;
      rvalid <= 1'b0;
      wready <= 1'b0;
      bvalid <= 1'b0;
    end else begin
      // What was transferred in the cycle that ends.
      if (arvalid) begin
        read_address[read_tail] = araddr;
        read_left[read_tail] = 9'(arlen) + 1;
        read_from[read_tail] = now - 1 + 64'(latency);
        read_tail = read_tail + 1;
        if (read_tail == read_head) $fatal(1, "more than %0d read bursts under way", DEPTH - 1);
      end
      if (awvalid) begin
        write_address[write_tail] = awaddr;
        write_left[write_tail] = 9'(awlen) + 1;
        write_state[write_tail] = OKAY;
        write_tail = write_tail + 1;
        if (write_tail == write_head) $fatal(1, "more than %0d write bursts under way", DEPTH - 1);
      end
      if (rvalid && rready) read_next = now - 1 + 64'(beat_every);
      if (wvalid && wready) begin
        if (write_head == write_tail) $fatal(1, "a write beat came before its address");
        write_state[write_head] = write_state[write_head] | write_beat(write_address[write_head]);
        write_address[write_head] = write_address[write_head] + BYTES;
        write_left[write_head] = write_left[write_head] - 1;
        if (wlast != (write_left[write_head] == 0)) $fatal(1, "WLAST is not on a burst's last beat");
        if (wlast) begin
          answer_from[answer_tail] = now - 1 + 64'(latency);
          answer[answer_tail] = write_state[write_head];
          answer_tail = answer_tail + 1;
          if (answer_tail == answer_head) $fatal(1, "more than %0d responses under way", DEPTH - 1);
          write_head = write_head + 1;
        end
        write_next = now - 1 + 64'(beat_every);
      end

      // What the cycle that begins shows.
      wready <= now >= write_next;
      if (!rvalid || rready) begin
        rvalid <= 1'b0;
        if (read_head != read_tail && now >= read_from[read_head] && now >= read_next) begin
          bit [255:0] data;
          bit [1:0] response;
          response = memory_read(64'(read_address[read_head] - base), BYTES, data) == 0 ? DECERR : OKAY;
          if (read_address[read_head] == read_error) response = SLVERR;
          rvalid <= 1'b1;
          rdata <= data[BITS-1:0];
          rresp <= response;
          rlast <= read_left[read_head] == 1;
          read_address[read_head] = read_address[read_head] + BYTES;
          read_left[read_head] = read_left[read_head] - 1;
          if (read_left[read_head] == 0) read_head = read_head + 1;
        end
      end
      if (!bvalid || bready) begin
        bvalid <= 1'b0;
        if (answer_head != answer_tail && now >= answer_from[answer_head]) begin
          bvalid <= 1'b1;
          bresp <= answer[answer_head];
          answer_head = answer_head + 1;
        end
      end
    end
  end
endmodule

`default_nettype wire
