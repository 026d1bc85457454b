// The engine and the memory of the simulation, as cocotb sees them: its clock, registers, interrupt, memory's parameters
// (memory.sv).  Both ports are watched: what breaks their protocol ends the simulation.

`default_nettype none

module bench #(
  parameter int BITS = 32,
  parameter int ADDRESS_BITS = 8,
  parameter int LONGEST_READ = 256,  // beats of a burst at most
  parameter int LONGEST_WRITE = 256
) (
  output bit clk,
  input wire rst,

  input wire [31:0] latency,
  input wire [31:0] beat_every,
  input wire shared,
  input wire [31:0] base,
  input wire [31:0] read_error,
  input wire [31:0] write_error,
  output wire [31:0] failed,
  input wire [4:0][7:0] stall_chance,
  input wire [15:0] stall_longest,
  input wire [31:0] seed,
  input wire data_first,
  input wire address_first,
  output wire idle,  // nothing is under way on the memory port

  input wire [ADDRESS_BITS-1:0] s_axil_awaddr,
  input wire s_axil_awvalid,
  output wire s_axil_awready,
  input wire [31:0] s_axil_wdata,
  input wire s_axil_wvalid,
  output wire s_axil_wready,
  output wire [1:0] s_axil_bresp,
  output wire s_axil_bvalid,
  input wire s_axil_bready,
  input wire [ADDRESS_BITS-1:0] s_axil_araddr,
  input wire s_axil_arvalid,
  output wire s_axil_arready,
  output wire [31:0] s_axil_rdata,
  output wire [1:0] s_axil_rresp,
  output wire s_axil_rvalid,
  input wire s_axil_rready,
  output wire interrupt_line
);
  wire [31:0] araddr, awaddr;
  wire [7:0] arlen, awlen;
  wire [2:0] arsize, awsize, arprot, awprot;
  wire [1:0] arburst, awburst;
  wire [3:0] arcache, awcache, arqos, awqos;
  wire arid, awid, arlock, awlock;
  wire arvalid, arready, rlast, rvalid, rready;
  wire awvalid, awready, wlast, wvalid, wready, bvalid, bready;
  wire [BITS-1:0] rdata, wdata;
  wire [BITS/8-1:0] wstrb;
  wire [1:0] rresp, bresp;

  // The clock is made here: driven through the simulator's interface, it takes a third of the time of a run.  Its period
  // is PERIOD_NS of transport.py.
  always #5 clk = !clk;

  // A register between the port and the engine: Verilator evaluates logic behind ports twice a cycle, and the reset
  // stands before every register of the engine.
  logic reset = 1'b1;
  always @(posedge clk) reset <= rst;

  shiftpoint_engine engine (
    .clk(clk),
    .rst(reset),
    .s_axil_awaddr(s_axil_awaddr),
    .s_axil_awprot(3'b0),
    .s_axil_awvalid(s_axil_awvalid),
    .s_axil_awready(s_axil_awready),
    .s_axil_wdata(s_axil_wdata),
    .s_axil_wstrb(4'b1111),
    .s_axil_wvalid(s_axil_wvalid),
    .s_axil_wready(s_axil_wready),
    .s_axil_bresp(s_axil_bresp),
    .s_axil_bvalid(s_axil_bvalid),
    .s_axil_bready(s_axil_bready),
    .s_axil_araddr(s_axil_araddr),
    .s_axil_arprot(3'b0),
    .s_axil_arvalid(s_axil_arvalid),
    .s_axil_arready(s_axil_arready),
    .s_axil_rdata(s_axil_rdata),
    .s_axil_rresp(s_axil_rresp),
    .s_axil_rvalid(s_axil_rvalid),
    .s_axil_rready(s_axil_rready),
    .m_axi_arid(arid),
    .m_axi_araddr(araddr),
    .m_axi_arlen(arlen),
    .m_axi_arsize(arsize),
    .m_axi_arburst(arburst),
    .m_axi_arlock(arlock),
    .m_axi_arcache(arcache),
    .m_axi_arprot(arprot),
    .m_axi_arqos(arqos),
    .m_axi_arvalid(arvalid),
    .m_axi_arready(arready),
    .m_axi_rid(1'b0),
    .m_axi_rdata(rdata),
    .m_axi_rresp(rresp),
    .m_axi_rlast(rlast),
    .m_axi_rvalid(rvalid),
    .m_axi_rready(rready),
    .m_axi_awid(awid),
    .m_axi_awaddr(awaddr),
    .m_axi_awlen(awlen),
    .m_axi_awsize(awsize),
    .m_axi_awburst(awburst),
    .m_axi_awlock(awlock),
    .m_axi_awcache(awcache),
    .m_axi_awprot(awprot),
    .m_axi_awqos(awqos),
    .m_axi_awvalid(awvalid),
    .m_axi_awready(awready),
    .m_axi_wdata(wdata),
    .m_axi_wstrb(wstrb),
    .m_axi_wlast(wlast),
    .m_axi_wvalid(wvalid),
    .m_axi_wready(wready),
    .m_axi_bid(1'b0),
    .m_axi_bresp(bresp),
    .m_axi_bvalid(bvalid),
    .m_axi_bready(bready),
    .interrupt(interrupt_line)
  );

  memory #(.BITS(BITS)) memory (
    .clk(clk),
    .rst(reset),
    .latency(latency),
    .beat_every(beat_every),
    .shared(shared),
    .base(base),
    .read_error(read_error),
    .write_error(write_error),
    .failed(failed),
    .stall_chance(stall_chance),
    .stall_longest(stall_longest),
    .seed(seed),
    .data_first(data_first),
    .address_first(address_first),
    .araddr(araddr),
    .arlen(arlen),
    .arvalid(arvalid),
    .arready(arready),
    .rdata(rdata),
    .rresp(rresp),
    .rlast(rlast),
    .rvalid(rvalid),
    .rready(rready),
    .awaddr(awaddr),
    .awlen(awlen),
    .awvalid(awvalid),
    .awready(awready),
    .wdata(wdata),
    .wstrb(wstrb),
    .wlast(wlast),
    .wvalid(wvalid),
    .wready(wready),
    .bresp(bresp),
    .bvalid(bvalid),
    .bready(bready)
  );

  axi4_checker #(.BITS(BITS), .LONGEST_READ(LONGEST_READ), .LONGEST_WRITE(LONGEST_WRITE)) memory_port (
    .clk(clk),
    .rst(reset),
    .idle(idle),
    .ar({arid, araddr, arlen, arsize, arburst, arlock, arcache, arprot, arqos}),
    .arvalid(arvalid),
    .arready(arready),
    .r({1'b0, rdata, rresp, rlast}),
    .rvalid(rvalid),
    .rready(rready),
    .aw({awid, awaddr, awlen, awsize, awburst, awlock, awcache, awprot, awqos}),
    .awvalid(awvalid),
    .awready(awready),
    .w({wdata, wstrb, wlast}),
    .wvalid(wvalid),
    .wready(wready),
    .b({1'b0, bresp}),
    .bvalid(bvalid),
    .bready(bready)
  );

  axi_lite_checker #(.ADDRESS_BITS(ADDRESS_BITS)) register_port (
    .clk(clk),
    .rst(reset),
    .ar(s_axil_araddr),
    .arvalid(s_axil_arvalid),
    .arready(s_axil_arready),
    .r({s_axil_rdata, s_axil_rresp}),
    .rvalid(s_axil_rvalid),
    .rready(s_axil_rready),
    .aw(s_axil_awaddr),
    .awvalid(s_axil_awvalid),
    .awready(s_axil_awready),
    .w(s_axil_wdata),
    .wvalid(s_axil_wvalid),
    .wready(s_axil_wready),
    .b(s_axil_bresp),
    .bvalid(s_axil_bvalid),
    .bready(s_axil_bready)
  );

  always @(posedge clk) begin
    if (interrupt_line && !idle) $fatal(1, "the run has ended, and bursts are under way");
  end
endmodule

`default_nettype wire
