// One AXI channel watched: its VALID is low in reset, and what is offered stays, unchanged, until READY.
//
// STOP: what breaks a rule ends the simulation, with the number of the clock's edge, the channel and the rule; else that
// is only printed.

`default_nettype none

module handshake_checker #(
  parameter CHANNEL = "",
  parameter int WIDTH = 1,
  parameter bit STOP = 1
) (
  input wire clk,
  input wire rst,
  input wire valid,
  input wire ready,
  input wire [WIDTH-1:0] payload
);
  longint unsigned now;
  bit in_reset;  // in the cycle before
  bit waiting;  // offered in the cycle before, and not taken
  bit [WIDTH-1:0] offered;

  task automatic broken(input string rule);
    if (STOP) $fatal(1, "cycle %0d, %s: %s", now, CHANNEL, rule);
    else $display("cycle %0d, %s: %s", now, CHANNEL, rule);
  endtask

  always @(posedge clk) begin
    now = now + 1;
    if (rst) begin
      if (in_reset && valid) broken("VALID in reset");
    end else if (waiting) begin
      if (!valid) broken("VALID falls before READY");
      else if (payload != offered) broken("what is offered changes before READY");
    end
    in_reset = rst;
    waiting = valid && !ready && !rst;
    offered = payload;
  end
endmodule

`default_nettype wire
