// What the memory port of bench.sv sees, in the simulation's log: bound into it, so that the bench stays as it is.
//
// A line for each address, for the last beat of each burst, and for the end of a run, with the cycle since the start of
// the simulation; addresses count from the start of the window.

`default_nettype none

module recorder #(
  parameter int BITS = 32
) (
  input wire clk,
  input wire reset,
  input wire [31:0] base,
  input wire [31:0] araddr,
  input wire [7:0] arlen,
  input wire arvalid,
  input wire arready,
  input wire rlast,
  input wire rvalid,
  input wire rready,
  input wire [31:0] awaddr,
  input wire [7:0] awlen,
  input wire awvalid,
  input wire awready,
  input wire [BITS/8-1:0] wstrb,
  input wire wlast,
  input wire wvalid,
  input wire wready,
  input wire interrupt_line
);
  longint unsigned now;
  int bytes;  // of the write burst under way, strobed
  bit ended;

  always @(posedge clk) begin
    now = now + 1;
    if (!reset) begin
      if (arvalid && arready) $display("port: READ %0d %0d %0d", now, araddr - base, 32'(arlen) + 1);
      if (awvalid && awready) $display("port: WRITE %0d %0d %0d", now, awaddr - base, 32'(awlen) + 1);
      if (rvalid && rready && rlast) $display("port: read %0d 0 0", now);
      if (wvalid && wready) bytes = bytes + $countones(wstrb);
      if (wvalid && wready && wlast) begin
        $display("port: written %0d %0d 0", now, bytes);
        bytes = 0;
      end
      if (interrupt_line && !ended) $display("port: END %0d 0 0", now);
      ended = interrupt_line;
    end
  end
endmodule

bind bench recorder #(.BITS(BITS)) recorder (.*);

`default_nettype wire
