//! scratch
fn main() {
    for a in std::env::args().skip(1) {
        let s = std::fs::read_to_string(&a).unwrap();
        std::fs::write(a.replace(".svg", ".png"), report::png(&s, 4.0).unwrap()).unwrap();
    }
}
